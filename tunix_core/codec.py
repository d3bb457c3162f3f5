"""JSON in and out, strict: no coercion, no unknown keys, every error at once with its path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tunix_core.base.json_depth import is_deeper_than
from tunix_core.base.strict import CONVERTER, Problems, child_path
from tunix_core.errors import InvalidRecordError
from tunix_core.records import (
    MAX_ANSWER_CHARS,
    MAX_PROMPT_CHARS,
    MAX_STEP_CHARS,
    MAX_STEP_TYPE_CHARS,
    MAX_STEPS,
    MAX_VERSION_CHARS,
    Step,
    Trace,
)

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


_quote = json.encoder.encode_basestring
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
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _decode(text: str) -> Any:
    """As the decoder's own, without its regular expressions for white space around a value."""
    try:
        value, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError:
        return _DECODER.decode(text)
    return value if text[end:] in _LINE_ENDS else _DECODER.decode(text)


def loads(text: str | bytes) -> Any:
    """Read one JSON value, refusing what the standard does not allow or readers disagree on.

    Args:
        text: JSON; bytes must be UTF-8.

    Raises:
        InvalidRecordError: Not UTF-8, not JSON, NaN or an infinity, a key twice in one object,
            a lone surrogate, or nested deeper than ``MAX_DEPTH``; with the position.
    """
    return _read(_text(text), _decode_unique)


def _text(text: str | bytes) -> str:
    try:
        return text if isinstance(text, str) else text.decode()
    except UnicodeDecodeError as error:
        raise InvalidRecordError([f"$: not UTF-8 at byte {error.start}"], "JSON") from None


def _read(text: str, decode: Callable[[str], Any]) -> Any:
    try:
        value = decode(text)
    except json.JSONDecodeError as error:
        where = f"character {error.pos + 1}"
        raise InvalidRecordError([f"$: not JSON: {error.msg} at {where}"], "JSON") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise InvalidRecordError(["$: an integer has thousands of digits"], "JSON") from None
    _check_loaded(value, text)
    return value


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


_TRACE_KEYS = frozenset({"prompt", "final_answer", "steps", "meta", "trace_version"})
_STEP_KEYS = 3
_TEXT_TYPE = frozenset({str})
_PLAIN = frozenset({str, int, bool, type(None)})
_LINE_ENDS = ("", "\n", "\r\n")
_new = object.__new__
_set_i, _set_type, _set_content = (Step.__dict__[name].__set__ for name in ("i", "type", "content"))
_set_prompt, _set_answer, _set_steps, _set_meta, _set_version = (
    Trace.__dict__[name].__set__
    for name in ("prompt", "final_answer", "steps", "meta", "trace_version")
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
    try:
        if type(data) is dict and data.keys() <= _TRACE_KEYS and type(data["steps"]) is list:
            steps = _fast_steps(data["steps"])
            meta = data.get("meta")
            version = data.get("trace_version", "1.0")
            prompt, answer = data["prompt"], data["final_answer"]
            if (
                steps
                and len(steps) <= MAX_STEPS
                and (meta is None or type(meta) is dict)
                and type(prompt) is str
                and 1 <= len(prompt) <= MAX_PROMPT_CHARS
                and type(answer) is str
                and 1 <= len(answer) <= MAX_ANSWER_CHARS
                and type(version) is str
                and 1 <= len(version) <= MAX_VERSION_CHARS
                and len({step.i for step in steps}) == len(steps)
            ):
                trace = _new(Trace)
                _set_prompt(trace, prompt)
                _set_answer(trace, answer)
                _set_steps(trace, steps)
                _set_meta(trace, meta)
                _set_version(trace, version)
                return trace
    except (KeyError, TypeError):
        pass
    return None


def _fast_steps(items: list[Any]) -> tuple[Step, ...] | None:
    """Steps made without their constructor, by the same rules; None when one breaks them."""
    steps = []
    for item in items:
        # Three keys, and the three that are asked for: there is no other.
        if type(item) is not dict or len(item) != _STEP_KEYS:
            return None
        i, kind, content = item["i"], item["type"], item["content"]
        if not (
            type(i) is int
            and i >= 0
            and type(kind) is str
            and 1 <= len(kind) <= MAX_STEP_TYPE_CHARS
            and type(content) is str
            and 1 <= len(content) <= MAX_STEP_CHARS
        ):
            return None
        step = _new(Step)
        _set_i(step, i)
        _set_type(step, kind)
        _set_content(step, content)
        steps.append(step)
    return tuple(steps)


def trace_from_json(text: str | bytes) -> Trace:
    """Read one trace; the same as ``trace_from_data(loads(text))``, only faster.

    Raises:
        InvalidRecordError: Not strict JSON, or not a trace; with every problem and its path.
    """
    text = _text(text)
    data = _read(text, _decode)
    trace = trace_if_strict(data)
    # A key that occurs twice leaves fewer strings in the trace than there are in the text.
    # Escaped backslashes make the quotes in the text hard to count, so those go the long way.
    if trace is None or "\\\\" in text or _count_strings(data, trace) * 2 != _count_quotes(text):
        return trace_from_data(_read(text, _decode_unique))
    return trace


def _count_quotes(text: str) -> int:
    quotes = text.count('"')
    return quotes - text.count('\\"') if "\\" in text else quotes


def _count_strings(data: Mapping[str, Any], trace: Trace) -> int:
    own = len(data) + 2 + ("trace_version" in data)
    return own + 5 * len(trace.steps) + (_strings_in(trace.meta) if trace.meta else 0)


def _strings_in(value: Mapping[str, Any] | list[Any]) -> int:
    """Number of strings in an object or array, its keys included."""
    children: Any = value
    strings = 0
    if type(value) is dict:
        strings, children = len(value), value.values()
    for child in children:
        kind = type(child)
        if kind is str:
            strings += 1
        elif kind is dict or kind is list:
            strings += _strings_in(child)
    return strings


def canonical_parts(trace: Trace) -> tuple[str, str]:
    """The canonical JSON of a trace before and after the value of its meta.

    For traces whose content is known to be JSON; :func:`trace_to_json` checks it as well. Many
    times faster than the general encoder, and the same text.
    """
    steps = ",".join(
        [
            f'{{"content":{_quote(step.content)},"i":{step.i},"type":{_quote(step.type)}}}'
            for step in trace.steps
        ]
    )
    return (
        f'{{"final_answer":{_quote(trace.final_answer)},"meta":',
        f',"prompt":{_quote(trace.prompt)},"steps":[{steps}],'
        f'"trace_version":{_quote(trace.trace_version)}}}',
    )


def encode_members(meta: Mapping[str, Any]) -> dict[str, str]:
    """The canonical JSON of each value of a mapping that is known to be JSON."""
    members = {}
    for key, value in meta.items():
        kind = type(value)
        if kind is str:
            members[key] = _quote(value)
        elif kind is int:
            members[key] = str(value)
        else:
            members[key] = _encode(unstructure(value))
    return members


def trace_to_json(trace: Trace) -> str:
    """The canonical JSON of a trace, on one line.

    Raises:
        InvalidRecordError: Its meta or its texts hold what JSON does not have.
    """
    if not _is_plain(trace.meta):
        check_json(trace.meta, "$.meta", "trace")
    head, tail = canonical_parts(trace)
    meta = "null"
    if trace.meta is not None:
        members = encode_members(trace.meta)
        meta = "{" + ",".join([f"{_quote(key)}:{members[key]}" for key in sorted(members)]) + "}"
    text = f"{head}{meta}{tail}"
    if not text.isascii():
        _refuse_unencodable(trace, text)
    return text


def _is_plain(meta: Mapping[str, Any] | None) -> bool:
    """Whether a meta is flat and so ordinary that there is nothing to check but its encoding."""
    return meta is None or (
        {type(key) for key in meta} <= _TEXT_TYPE and {type(v) for v in meta.values()} <= _PLAIN
    )


def _refuse_unencodable(trace: Trace, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        check_json(unstructure(trace), what="trace")


def content_key(trace: Trace) -> str:
    """SHA-256 of the canonical JSON of a trace, in hex.

    Raises:
        InvalidRecordError: Its meta or its texts hold what JSON does not have.
    """
    return hashlib.sha256(trace_to_json(trace).encode()).hexdigest()
