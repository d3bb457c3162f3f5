"""The cattrs converter behind :mod:`tunix_core.codec`: strict hooks that collect every error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs
from cattrs import Converter
from cattrs.strategies import configure_union_passthrough

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NAMES = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    tuple: "a list",
    dict: "an object",
    type(None): "null",
}


class Problems(Exception):  # noqa: N818 - several errors in one
    """Problems below one value: (path relative to it, reason)."""

    def __init__(self, found: Sequence[tuple[str, str]]) -> None:
        super().__init__(found)
        self.found = found

    def lines(self) -> list[str]:
        return [f"${path}: {reason}" for path, reason in self.found]


def child_path(key: str) -> str:
    """``.key``, or ``["odd key"]`` when it is not a plain word."""
    return f".{key}" if _PLAIN_KEY.fullmatch(key) else f"[{key[:80]!r}]"


def _wrong(expected: str, value: Any) -> Problems:
    got = _NAMES.get(type(value), type(value).__name__)
    return Problems([("", f"expected {expected}, got {got}")])


def _gather(problems: list[tuple[str, str]], path: str, error: Exception) -> None:
    if isinstance(error, Problems):
        problems.extend((path + inner, reason) for inner, reason in error.found)
    else:
        problems.append((path, str(error) or type(error).__name__))


def _exactly(kind: type) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise _wrong(_NAMES[kind], value)
        return value

    return hook


def _float(value: Any, _: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise Problems([("", "number is too large")]) from None
    raise _wrong("a number", value)


def _path(value: Any, _: Any) -> Path:
    if isinstance(value, (str, Path)):
        return Path(value)
    raise _wrong("a path", value)


def _literal(kind: Any) -> Callable[[Any, Any], Any]:
    allowed = get_args(kind)
    shown = ", ".join(map(repr, allowed))

    def hook(value: Any, _: Any) -> Any:
        if not any(type(value) is type(option) and value == option for option in allowed):
            raise Problems([("", f"must be one of {shown}, got {str(value)[:80]!r}")])
        return value

    return hook


def _enum(kind: type[Enum]) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        for member in kind:
            if value is member or (type(value) is type(member.value) and value == member.value):
                return member
        shown = ", ".join(repr(member.value) for member in kind)
        raise Problems([("", f"must be one of {shown}, got {str(value)[:80]!r}")])

    return hook


def _each(
    children: Iterable[tuple[str, Any, Any]],
) -> tuple[list[Any], list[tuple[str, str]]]:
    results: list[Any] = []
    problems: list[tuple[str, str]] = []
    for path, value, kind in children:
        try:
            results.append(CONVERTER.structure(value, kind))
        except Exception as error:
            _gather(problems, path, error)
    return results, problems


def _sequence(kind: Any) -> Callable[[Any, Any], Any]:
    origin, args = get_origin(kind) or kind, get_args(kind)
    fixed = origin is tuple and bool(args) and Ellipsis not in args
    make = origin if origin in (tuple, set, frozenset) else list

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise _wrong("a list", value)
        if fixed and len(value) != len(args):
            raise Problems([("", f"must hold {len(args)} values, got {len(value)}")])
        kinds = args if fixed else [args[0] if args else Any] * len(value)
        pairs = zip(value, kinds, strict=True)
        results, problems = _each((f"[{n}]", item, k) for n, (item, k) in enumerate(pairs))
        if problems:
            raise Problems(problems)
        return make(results)

    return hook


def _mapping(kind: Any) -> Callable[[Any, Any], Any]:
    key_kind, value_kind = get_args(kind) or (Any, Any)

    def hook(value: Any, _: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise _wrong("an object", value)
        paths = [child_path(str(key)) for key in value]
        keys, bad_keys = _each((p, key, key_kind) for p, key in zip(paths, value, strict=True))
        items, bad_items = _each(
            (p, item, value_kind) for p, item in zip(paths, value.values(), strict=True)
        )
        if bad_keys or bad_items:
            raise Problems([*((p, f"key: {reason}") for p, reason in bad_keys), *bad_items])
        return dict(zip(keys, items, strict=True))

    return hook


def _attrs_class(cls: type) -> Callable[[Any, Any], Any]:
    fields = [field for field in attrs.fields(cls) if field.init]
    types = get_type_hints(cls)

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise _wrong("an object", value)
        known = {field.name for field in fields}
        problems = [
            (child_path(str(key)), f"unknown key{_suggest(str(key), known)}")
            for key in value
            if key not in known
        ]
        arguments: dict[str, Any] = {}
        for field in fields:
            if field.name in value:
                kind = types.get(field.name, Any)
                results, found = _each([(f".{field.name}", value[field.name], kind)])
                problems += found
                if results:
                    arguments[field.name] = results[0]
            elif field.default is attrs.NOTHING:
                problems.append((f".{field.name}", "is missing"))
        return _construct(cls, fields, arguments, problems)

    return hook


def _suggest(key: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(key, sorted(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _construct(
    cls: type,
    fields: Sequence[attrs.Attribute[Any]],
    arguments: Mapping[str, Any],
    problems: list[tuple[str, str]],
) -> Any:
    failure: Exception | None = None
    if not problems:
        try:
            return cls(
                **{
                    str(field.alias): arguments[field.name]
                    for field in fields
                    if field.name in arguments
                }
            )
        except Exception as error:
            failure = error
    problems += _validate_each(cls, fields, arguments)
    if failure is not None and not problems:
        _gather(problems, "", failure)
    raise Problems(problems)


def _validate_each(
    cls: type, fields: Sequence[attrs.Attribute[Any]], arguments: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Ask every validator, where attrs itself stops at the first that objects."""
    draft: Any = object.__new__(cls)
    for name, value in arguments.items():
        object.__setattr__(draft, name, value)
    problems: list[tuple[str, str]] = []
    for field in fields:
        if field.validator is None or field.name not in arguments:
            continue
        try:
            field.validator(draft, field, arguments[field.name])
        except AttributeError:
            continue  # it looks at another field, which is missing or wrong itself
        except Exception as error:
            reason = str(error).removeprefix(f"{field.name}: ") or type(error).__name__
            problems.append((f".{field.name}", reason))
    return problems


def _is_sequence(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and (
        origin in (list, tuple, set, frozenset)
        or (issubclass(origin, Sequence) and origin not in (str, bytes) and bool(get_args(kind)))
    )


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _make_converter() -> Converter:
    converter = Converter(
        detailed_validation=False,
        unstruct_collection_overrides={tuple: list, set: sorted, frozenset: sorted},
    )
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook(Path, _path)
    configure_union_passthrough(str | int | float | bool | None, converter)
    converter.register_structure_hook_factory(_is_mapping, _mapping)
    converter.register_structure_hook_factory(_is_sequence, _sequence)
    converter.register_structure_hook_factory(
        lambda kind: isinstance(kind, type(Literal[0])) and get_origin(kind) == Literal, _literal
    )
    converter.register_structure_hook_factory(
        lambda kind: isinstance(kind, type) and issubclass(kind, Enum), _enum
    )
    converter.register_structure_hook_factory(
        lambda kind: isinstance(kind, type) and attrs.has(kind), _attrs_class
    )
    converter.register_unstructure_hook(Path, str)
    return converter


CONVERTER = _make_converter()
