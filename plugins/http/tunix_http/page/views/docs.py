"""The API's documentation, read off its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tunix_http.page import skin
from tunix_http.page.pages import Data, json_response

_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matches {}",
}

Type = list[dict[str, Any]]


def documentation(document: Mapping[str, Any]) -> Data:
    """The operations by tag, and the schemas that they refer to."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = next(iter(operation.get("tags", ())), "other")
            groups.setdefault(tag, []).append(_operation(method.upper(), path, operation))
    schemas = document.get("components", {}).get("schemas", {})
    return {
        "title": document["info"]["title"],
        "version": document["info"]["version"],
        "groups": groups,
        "schemas": {name: _schema(schema) for name, schema in schemas.items()},
    }


def type_of(schema: Mapping[str, Any]) -> Type:
    """A schema as words and references: ``[{"text": "array of"}, {"schema": "Step"}]``."""
    if "$ref" in schema:
        return [{"schema": schema["$ref"].rpartition("/")[2]}]
    if "const" in schema:
        return [_word(repr(schema["const"]))]
    if "enum" in schema:
        return [_word(" | ".join(map(repr, schema["enum"])))]
    for joined in ("anyOf", "oneOf", "allOf"):
        if joined in schema:
            return _joined([type_of(option) for option in schema[joined]], "or")
    kind = schema.get("type", "any")
    if kind == "array" and "items" in schema:
        return [_word("array of"), *type_of(schema["items"])]
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return [_word("object of"), *type_of(schema["additionalProperties"])]
    return [_word(" or ".join(kind) if isinstance(kind, list) else kind)]


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {})
    return {
        "id": operation["operationId"],
        "method": method,
        "path": path,
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "parameters": [
            {
                "name": parameter["name"],
                "in": parameter["in"],
                **_field(parameter.get("schema", {}), required=parameter.get("required", False)),
            }
            for parameter in operation.get("parameters", ())
        ],
        "body": _content(body),
        "body_required": body.get("required", False),
        "responses": [
            {"status": status, "description": response["description"], "body": _content(response)}
            for status, response in operation["responses"].items()
        ],
    }


def _content(held: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"media": media, "type": type_of(content.get("schema", {}))}
        for media, content in held.get("content", {}).items()
    ]


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    required = schema.get("required", ())
    return {
        "description": schema.get("description", ""),
        "type": type_of(schema),
        "fields": [
            {"name": name, **_field(field, required=name in required)}
            for name, field in schema.get("properties", {}).items()
        ],
    }


def _field(schema: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    options = [schema, *schema.get("anyOf", ())]
    bounds = [
        words.format(option[name])
        for option in options
        for name, words in _BOUNDS.items()
        if name in option
    ]
    return {
        "type": type_of(schema),
        "required": required,
        "has_default": schema.get("default") is not None,
        "default": schema.get("default"),
        "bounds": ", ".join(bounds),
        "description": schema.get("description", ""),
    }


def _joined(options: list[Type], word: str) -> Type:
    found: Type = []
    for option in options:
        found += [_word(word), *option] if found else option
    return found


def _word(text: str) -> dict[str, Any]:
    return {"text": text}


async def _as_html(request: Request) -> Response:
    return skin.html(request, "docs.html", documentation(request.app.state.openapi))


async def _as_json(request: Request) -> Response:
    return json_response(documentation(request.app.state.openapi))


ROUTES: list[BaseRoute] = [Route("/docs.json", _as_json), Route("/docs", _as_html)]
