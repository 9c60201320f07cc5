"""Description of the HTTP API as OpenAPI 3.1, made of the table of routes and the models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from gateway.api.shapes.models import Problem
from gateway.api.shapes.problems import MEDIA_TYPE, STATUS
from gateway.api.shapes.route import JSON, ApiRoute

_REF: Final = "#/components/schemas/{model}"
_ALWAYS: Final = (400, 404, 421, 429, 431, 500, 503)
_GUARD: Final = {400: ("request-no-end",), 421: ("request-host-unknown",), 431: ("request-head-large",)}
_ADDED: Final = {
    401: {"WWW-Authenticate": "The scheme `Bearer`, and what is wrong with the token."},
    403: {"WWW-Authenticate": "The scheme `Bearer`, and the scope that is needed."},
    429: {"Retry-After": "Seconds to wait."},
    503: {"Retry-After": "Seconds to wait."},
}


class _Schemas(GenerateJsonSchema):
    """A field that is None is left out, and never null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        found = super().default_schema(schema)
        if "default" in found and found["default"] is None:
            del found["default"]
        return found


def document(routes: Sequence[ApiRoute[Any, Any, Any]], about: str) -> bytes:
    """The description as JSON. ``about``: whose API it is."""
    answers = [(route.answer, "serialization") for route in routes if route.answer is not None]
    asked = [(model, "validation") for model in dict.fromkeys(route.parameters for route in routes)]
    models: list[Any] = [*dict.fromkeys([*answers, (Problem, "serialization")]), *asked]
    refs, found = models_json_schema(models, ref_template=_REF, schema_generator=_Schemas)
    schemas = dict(found["$defs"])
    parameters = {key[0]: schemas.pop(refs[key]["$ref"].rpartition("/")[2]) for key in refs if key in asked}
    operations = {route.path: _operation(route, parameters[route.parameters], refs) for route in routes}
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "Meterseal", "version": "1", "description": about},
        "paths": {route.path: {route.method.lower(): operations[route.path]} for route in routes},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "mst_…"}},
        },
    }
    return json.dumps(whole, ensure_ascii=False).encode()


def _operation(route: ApiRoute[Any, Any, Any], schema: Mapping[str, Any], refs: Mapping[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {media: {"schema": dict(one)} for media, one in route.media.items()}
    if route.answer is not None:
        content = {JSON: {"schema": refs[(route.answer, "serialization")]}, **content}
    statuses = {*_ALWAYS, *route.refuses, *((401, 403) if route.scope else ())}
    refused = {str(status): _refused(status, refs[(Problem, "serialization")]) for status in sorted(statuses)}
    scope = f"Needs a token of the scope `{route.scope}`, or a wider one." if route.scope else "Needs no token."
    return {
        "operationId": route.name,
        "summary": route.summary,
        "description": scope,
        "security": [{"token": []}] if route.scope else [],
        "parameters": [_parameter(route.path, schema, *one) for one in schema.get("properties", {}).items()],
        "responses": {"200": {"description": "The answer.", "content": content}, **refused},
    }


def _parameter(path: str, schema: Mapping[str, Any], name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    shape = {key: one for key, one in about.items() if key not in ("title", "description")}
    in_path = f"{{{name}}}" in path
    found: dict[str, Any] = {"name": name, "in": "path" if in_path else "query", "schema": shape}
    if in_path or name in schema.get("required", ()):
        found["required"] = True
    if "description" in about:
        found["description"] = about["description"]
    return found


def _refused(status: int, schema: Mapping[str, Any]) -> dict[str, Any]:
    codes = [*(code for code, of in STATUS.items() if of == status), *_GUARD.get(status, ())]
    named = ", ".join(f"`{code}`" for code in codes)
    found: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}. Codes: {named}.",
        "content": {MEDIA_TYPE: {"schema": dict(schema)}},
    }
    if status in _ADDED:
        found["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in _ADDED[status].items()
        }
    return found
