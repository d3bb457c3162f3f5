"""JSON in and out, strict: no coercion, no unknown keys, every error at once with its path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, TypeVar

from attrs import fields, frozen

from tunix_core.base.json_depth import is_deeper_than
from tunix_core.base.strict import CONVERTER, Problems, child_path
from tunix_core.errors import InvalidRecordError
from tunix_core.records import MAX_STEPS, Step, Trace

MAX_DEPTH = 100

T = TypeVar("T")


def structure(cls: type[T], data: Any, what: str = "record") -> T:
    """Make an instance of ``cls`` from plain data.

    An integer is accepted for a float field; nothing else is converted. An instance of ``cls``
    is returned as it is.

    Args:
        cls: An attrs class, or any type that cattrs can dispatch on.
        data: Plain data, as :func:`loads` returns it.
        what: What is being read, for the error message.

    Raises:
        InvalidRecordError: With every problem found, each as ``"$.path: reason"``.
    """
    try:
        return CONVERTER.structure(data, cls)
    except Problems as problems:
        raise InvalidRecordError(problems.lines(), what) from None


def unstructure(record: Any) -> Any:
    """The record as plain data: dictionaries, lists, text, numbers, booleans and None."""
    return CONVERTER.unstructure(record)


_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def canonical_json(value: Any) -> str:
    """The one text of a JSON value: keys sorted, no spaces, characters unescaped.

    Raises:
        InvalidRecordError: ``value`` holds NaN, an infinity, a lone surrogate, a key that is
            not text, or something that JSON does not have.
    """
    check_json(value)
    return _encode(unstructure(value))


def check_json(value: Any, path: str = "$", what: str = "value") -> None:
    """Refuse what JSON cannot say exactly; tuples count as lists, mappings as objects.

    Raises:
        InvalidRecordError: With every problem found, each as ``"$.path: reason"``.
    """
    problems: list[str] = []
    _check_json(value, path, 0, problems)
    if problems:
        raise InvalidRecordError(problems, what)


def _check_json(value: Any, path: str, depth: int, problems: list[str]) -> None:
    if depth >= MAX_DEPTH and isinstance(value, (Mapping, list, tuple)):
        problems.append(f"$: nested deeper than {MAX_DEPTH} levels")
    elif isinstance(value, Mapping):
        for key, child in value.items():
            if isinstance(key, str):
                _check_text(key, path, problems)
                _check_json(child, path + child_path(key), depth + 1, problems)
            else:
                problems.append(f"{path}: key {key!r} is not text")
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            _check_json(child, f"{path}[{index}]", depth + 1, problems)
    elif isinstance(value, str):
        _check_text(value, path, problems)
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            problems.append(f"{path}: {value} is not a JSON number")
    elif value is not None and not isinstance(value, (bool, int)):
        problems.append(f"{path}: {type(value).__name__} is not a JSON type")


def _check_text(text: str, path: str, problems: list[str]) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problems.append(f"{path}: lone surrogate at character {error.start}")


def _refuse_constant(name: str) -> Any:
    raise InvalidRecordError([f"$: {name} is not JSON"], "JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise InvalidRecordError([f"$: number {text[:40]} is too large"], "JSON")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in members if keys.count(key) > 1)
        raise InvalidRecordError([f"$: key {twice!r} occurs twice in one object"], "JSON")
    return members


_decode_unique = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique
).decode


def loads(text: str | bytes) -> Any:
    """Read one JSON value, refusing what the standard does not allow or readers disagree on.

    Args:
        text: JSON; bytes must be UTF-8.

    Raises:
        InvalidRecordError: Not UTF-8, not JSON, NaN or an infinity, a key twice in one object,
            a lone surrogate, or nested deeper than ``MAX_DEPTH``; with the position.
    """
    text = _text(text)
    try:
        value = _decode_unique(text)
    except json.JSONDecodeError as error:
        where = f"character {error.pos + 1}"
        raise InvalidRecordError([f"$: not JSON: {error.msg} at {where}"], "JSON") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise InvalidRecordError(["$: an integer has thousands of digits"], "JSON") from None
    _check_loaded(value, text)
    return value


def _text(text: str | bytes) -> str:
    try:
        return text if isinstance(text, str) else text.decode()
    except UnicodeDecodeError as error:
        raise InvalidRecordError([f"$: not UTF-8 at byte {error.start}"], "JSON") from None


def _check_loaded(value: Any, text: str) -> None:
    # Both checks walk the whole value, so they run only when the text gives a reason to.
    if text.count("[") + text.count("{") > MAX_DEPTH and is_deeper_than(value, MAX_DEPTH):
        raise _too_deep()
    if not text.isascii() or "\\ud" in text or "\\uD" in text:
        _refuse_surrogates(value, text)


def _refuse_surrogates(value: Any, text: str) -> None:
    """Refuse lone surrogates, written as such or as escapes."""
    try:
        text.encode()
        if "\\u" in text:
            _encode(value).encode()
    except UnicodeEncodeError:
        check_json(value, what="JSON")


def _too_deep() -> InvalidRecordError:
    return InvalidRecordError([f"$: nested deeper than {MAX_DEPTH} levels"], "JSON")


_TRACE_KEYS = frozenset(field.name for field in fields(Trace))
_STEP_KEYS = len(fields(Step))
_DEFAULT_VERSION = fields(Trace).trace_version.default
_EXACT = frozenset({str, int})
_PLAIN = frozenset({str, int, bool, type(None)})
_NESTING = frozenset({dict, list})
_META = b',"meta":'


@frozen
class _Fast:
    """What msgspec does to traces; it runs the validators of the records that it fills.

    Args:
        decode: A trace from JSON; of a key that occurs twice it takes the last, and it passes
            over keys that it does not know.
        convert: A trace from plain data, with the same omissions.
        encode: JSON with sorted keys; floats are not written as the canonical text has them.
        refusals: What the three raise.
    """

    decode: Callable[[bytes], Trace]
    convert: Callable[[Any], Trace]
    encode: Callable[[Any], bytes]
    refusals: tuple[type[Exception], ...]


@cache
def _fast() -> _Fast:
    # What needs no trace, such as --help, starts without it.
    from msgspec import MsgspecError, convert, json

    return _Fast(
        decode=json.Decoder(Trace).decode,
        convert=partial(convert, type=Trace),
        encode=json.Encoder(order="sorted").encode,
        refusals=(MsgspecError, TypeError, ValueError, RecursionError),
    )


def trace_from_data(data: Any) -> Trace:
    """A trace from plain data; the same as ``structure(Trace, data, "trace")``, only faster.

    Raises:
        InvalidRecordError: With every problem found, each as ``"$.path: reason"``; of too many
            steps only that.
    """
    trace = trace_if_strict(data)
    if trace is not None:
        return trace
    steps = data.get("steps") if isinstance(data, dict) else None
    if isinstance(steps, list) and len(steps) > MAX_STEPS:
        # A problem for each of millions would fill the memory.
        problem = f"$.steps: must hold 1 to {MAX_STEPS} steps, got {len(steps)}"
        raise InvalidRecordError([problem], "trace")
    return structure(Trace, data, "trace")


def trace_if_strict(data: Any) -> Trace | None:
    """The trace, or None for data that a slower way must look at, which finds every problem."""
    if type(data) is not dict or not data.keys() <= _TRACE_KEYS:
        return None
    steps = data.get("steps")
    if type(steps) is not list or len(steps) > MAX_STEPS:
        return None
    # Three keys, and the three that are asked for: there is no other.
    if not all(type(step) is dict and len(step) == _STEP_KEYS for step in steps):
        return None
    fast = _fast()
    try:
        trace = fast.convert(data)
    except fast.refusals:
        return None
    return trace if _is_exact(data) else None


def _is_exact(data: Mapping[str, Any]) -> bool:
    """Whether text is ``str`` and integers are ``int``: msgspec takes their heirs for them too."""
    kinds = {type(value) for step in data["steps"] for value in step.values()}
    kinds |= {type(key) for key in data.get("meta") or ()}
    kinds |= {type(value) for key, value in data.items() if key not in ("meta", "steps")}
    return kinds <= _EXACT


def trace_from_json(text: str | bytes) -> Trace:
    """Read one trace; the same as ``trace_from_data(loads(text))``, only faster.

    Raises:
        InvalidRecordError: Not strict JSON, or not a trace; with every problem and its path.
    """
    trace = _trace_if_whole(text)
    return trace_from_data(loads(text)) if trace is None else trace


def trace_from_canonical(text: str) -> Trace:
    """Read what :func:`trace_to_json` wrote: strict JSON, of which only the form is checked.

    Raises:
        InvalidRecordError: Not a trace; with every problem and its path.
    """
    fast = _fast()
    try:
        return fast.decode(text.encode())
    except fast.refusals:
        return trace_from_data(json.loads(text))


def _trace_if_whole(text: str | bytes) -> Trace | None:
    """The trace, if nothing was passed over to read it; None where a slower way must look."""
    fast = _fast()
    try:
        data = text.encode() if isinstance(text, str) else text
        trace = fast.decode(data)
        encoded = fast.encode(trace)
    except fast.refusals:
        return None
    if trace.meta and not _NESTING.isdisjoint(map(type, trace.meta.values())):
        brackets = data.count(b"[") + data.count(b"{")
        if brackets > MAX_DEPTH and is_deeper_than(trace.meta, MAX_DEPTH - 1):
            return None
    # Many lines were written by this encoder.
    if data.rstrip(b"\r\n") == encoded or _has_all_strings(data, trace, encoded):
        return trace
    return None


def _has_all_strings(data: bytes, trace: Trace, encoded: bytes) -> bool:
    """Whether a trace holds every string of the text that it was read from.

    A string has two quotes, and those within are escaped: a key that was passed over leaves more
    quotes in the text than in the trace, unless the text can write a quote without one.
    """
    quotes = encoded.count(b'"')
    if trace.meta is None:
        quotes -= 2
    if trace.trace_version is _DEFAULT_VERSION:
        quotes -= 4
    return data.count(b'"') == quotes and b"\\u0022" not in data


def trace_to_json(trace: Trace) -> str:
    """The canonical JSON of a trace, on one line.

    Raises:
        InvalidRecordError: Its meta or its texts hold what JSON does not have.
    """
    return canonical_bytes(trace).decode()


def content_key(trace: Trace) -> str:
    """SHA-256 of the canonical JSON of a trace, in hex.

    Raises:
        InvalidRecordError: Its meta or its texts hold what JSON does not have.
    """
    return hashlib.sha256(canonical_bytes(trace)).hexdigest()


def canonical_bytes(trace: Trace) -> bytes:
    """The canonical JSON of a trace as UTF-8.

    Raises:
        InvalidRecordError: Its meta or its texts hold what JSON does not have.
    """
    fast = _fast()
    meta = None if _is_plain(trace.meta) else _meta_bytes(trace.meta)
    try:
        if meta is None:
            return fast.encode(trace)
        bare = {name: getattr(trace, name) for name in _TRACE_KEYS} | {"meta": None}
        return _spliced(fast.encode(bare), b"null", meta)
    except fast.refusals:
        plain = unstructure(trace)
        check_json(plain, what="trace")
        return _encode(plain).encode()


def with_meta(text: bytes, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> bytes:
    """What :func:`canonical_bytes` gives for the same trace with another meta.

    Args:
        text: The canonical JSON of the trace as it was.
        old: Its meta.
        new: The meta that it gets.

    Raises:
        InvalidRecordError: The new meta holds what JSON does not have.
    """
    return _spliced(text, _meta_bytes(old), _meta_bytes(new))


def _spliced(text: bytes, old: bytes, new: bytes) -> bytes:
    # Only the answer stands before the meta, and quotes in it are escaped.
    start = text.index(_META) + len(_META)
    return text[:start] + new + text[start + len(old) :]


def _meta_bytes(meta: Mapping[str, Any] | None) -> bytes:
    fast = _fast()
    if _is_plain(meta):
        try:
            return fast.encode(meta)
        except fast.refusals:
            pass
    check_json(meta, "$.meta", "trace")
    return _encode(unstructure(meta)).encode()


def _is_plain(meta: Mapping[str, Any] | None) -> bool:
    """Whether a meta is so flat and ordinary that there is nothing to check but its encoding."""
    return meta is None or _PLAIN.issuperset(map(type, meta.values()))
