"""OpenAPI 3.1 of the operations, made from the very classes that parse their requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from tunix_http.operations import JSON, Operation
from tunix_http.streams.sse import MEDIA_TYPE

TITLE = "Tunix RT Backend"
VERSION = "0.1.0"

_REFS = "#/components/schemas/{model}"
_ERROR = "Error"
_VALIDATION_ERROR = "ValidationErrors"
# One event of a stream; its data is a JSON text.
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {"type": "string"},
        "retry": {"type": "integer"},
    },
}
# Answers that the layers around every operation may give.
_ANYWHERE = {
    403: "The request comes from a page of another origin",
    421: "The Host header names another server",
}
_UNAUTHORISED = {401: "The token is missing or wrong"}
_WITH_BODY = {
    400: "The request cannot be read",
    408: "The request came too slowly",
    413: "The body exceeds the limit",
}
_FAILED = {500: "The operation failed"}


def build(operations: Sequence[Operation], *, with_token: bool) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        operations: In the order in which they shall be listed.
        with_token: Whether the server asks for a bearer token.
    """
    schemas, definitions = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        entry = paths.setdefault(re.sub(r":\w+}", "}", operation.path), {})
        entry[operation.method.lower()] = _describe(operation, schemas, with_token=with_token)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION},
        "paths": paths,
        "components": {"schemas": {**definitions, **_error_schemas()}},
        "tags": [{"name": tag} for tag in dict.fromkeys(o.tag for o in operations)],
    }
    if with_token:
        bearer = {"type": "http", "scheme": "bearer"}
        document["components"]["securitySchemes"] = {"token": bearer}
        document["security"] = [{"token": []}]
    return document


def _schemas(
    operations: Iterable[Operation],
) -> tuple[dict[tuple[str, str], dict[str, Any]], dict[str, Any]]:
    """Schema by (operation, part), and the definitions that they refer to."""
    inputs: list[tuple[str, Literal["validation", "serialization"], TypeAdapter[Any]]] = []
    for operation in operations:
        for part, kind in _parts(operation).items():
            mode: Literal["validation", "serialization"] = (
                "serialization" if part == "returns" else "validation"
            )
            inputs.append((f"{operation.name} {part}", mode, TypeAdapter(kind)))
    found, rest = TypeAdapter.json_schemas(inputs, ref_template=_REFS)
    schemas = {}
    for (key, _), schema in found.items():
        name, _, part = str(key).partition(" ")
        schemas[(name, part)] = schema
    return schemas, rest.get("$defs", {})


def _parts(operation: Operation) -> dict[str, Any]:
    parts = {
        "parameters": operation.parameters,
        "query": operation.query,
        "body": operation.body,
        "returns": operation.returns,
    }
    return {part: kind for part, kind in parts.items() if kind is not None}


def _describe(
    operation: Operation, schemas: Mapping[tuple[str, str], Any], *, with_token: bool
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": _responses(operation, schemas, with_token=with_token),
    }
    if operation.description:
        described["description"] = operation.description
    parameters = [
        *_parameters("path", operation.parameters),
        *_parameters("query", operation.query),
    ]
    if parameters:
        described["parameters"] = parameters
    content: dict[str, Any] = {}
    if operation.body is not None:
        content[JSON] = {"schema": schemas[(operation.name, "body")]}
    if operation.raw_body is not None:
        content[operation.raw_body] = {"schema": {"type": "string"}}
    if content:
        described["requestBody"] = {"required": not operation.body_optional, "content": content}
    return described


def _parameters(where: str, cls: type[BaseModel] | None) -> list[dict[str, Any]]:
    if cls is None:
        return []
    schema = cls.model_json_schema(ref_template=_REFS)
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": where,
            "required": name in required,
            "schema": {key: value for key, value in held.items() if key != "title"},
        }
        for name, held in schema["properties"].items()
    ]


def _responses(
    operation: Operation, schemas: Mapping[tuple[str, str], Any], *, with_token: bool
) -> dict[str, Any]:
    good: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    if operation.returns is not None:
        good["content"] = {JSON: {"schema": schemas[(operation.name, "returns")]}}
    else:
        schema = _EVENT if operation.media_type == MEDIA_TYPE else {"type": "string"}
        good["content"] = {operation.media_type: {"schema": schema}}
    responses = {str(operation.status): good}
    has_body = operation.body is not None or operation.raw_body is not None
    errors = {
        **_ANYWHERE,
        **(_UNAUTHORISED if with_token else {}),
        **(_WITH_BODY if has_body else {}),
        **_FAILED,
        **operation.errors,
    }
    if has_body or operation.parameters is not None or operation.query is not None:
        errors.setdefault(422, "The request's data is not what the operation takes")
    for status, meaning in sorted(errors.items()):
        if status < 400:
            responses[str(status)] = {"description": meaning, "content": good["content"]}
            continue
        name = _VALIDATION_ERROR if status == 422 else _ERROR
        schema = {"$ref": _REFS.format(model=name)}
        responses[str(status)] = {"description": meaning, "content": {JSON: {"schema": schema}}}
    return responses


def _error_schemas() -> dict[str, Any]:
    items = {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["type", "loc", "msg"],
            "properties": {
                "type": {"type": "string"},
                "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                "msg": {"type": "string"},
                "input": {},
                "ctx": {"type": "object"},
            },
        },
    }
    detail = {"type": "string"}
    return {
        _ERROR: _object_with_detail(detail),
        _VALIDATION_ERROR: _object_with_detail({"anyOf": [detail, items]}),
    }


def _object_with_detail(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": ["detail"], "properties": {"detail": schema}}
