"""The OpenAPI document: what FastAPI derives, with our API key and our problem+json in place of its own errors."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response

from app.api.keys import API_KEY_HEADER, is_open_path
from app.api.problems import MEDIA_TYPE, ProblemDetails

_FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """The document. It is built at the first call and kept by the application."""
    if app.openapi_schema is None:
        app.openapi_schema = _adapt(
            get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        )
    return app.openapi_schema


def serve_document(app: FastAPI) -> None:
    """Answer requests for the document with the same bytes: FastAPI would write them anew for each, without a key."""
    app.openapi = partial(build_openapi, app)  # type: ignore[method-assign]  # FastAPI's documented way
    path = app.openapi_url or "/openapi.json"
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) != path]
    written: list[bytes] = []

    async def document(_: Request) -> Response:
        if not written:
            written.append(json.dumps(app.openapi()).encode())
        return Response(written[0], media_type="application/json")

    app.add_route(path, document, include_in_schema=False)


def _adapt(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _FRAMEWORK_SCHEMAS:
        schemas.pop(name, None)
    model = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= model.pop("$defs", {})
    schemas["ProblemDetails"] = model
    components["securitySchemes"] = {"ApiKey": {"type": "apiKey", "in": "header", "name": API_KEY_HEADER}}
    for path, operations in document.get("paths", {}).items():
        for operation in operations.values():
            _adapt_operation(operation, is_open=is_open_path(path))
    return document


def _adapt_operation(operation: dict[str, Any], *, is_open: bool) -> None:
    """Validation is 400 here, not FastAPI's 422; an operation that needs a key declares it.

    Null cannot be written in a query or a header: a parameter is given, or it is absent.
    """
    needs_key = operation.pop("x-needs-idempotency-key", False)
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
        if len(choices) == 1:
            parameter["schema"] = {**choices[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
        elif choices:
            schema["anyOf"] = choices
        if parameter["name"] == "Idempotency-Key" and needs_key:
            parameter["required"] = True
    responses = operation["responses"]
    validation = responses.get("422", {})
    if "HTTPValidationError" in str(validation):
        del responses["422"]
        responses.setdefault("400", _problem("the request is wrong in one or more places, all named in `errors`"))
    if not is_open:
        operation["security"] = [{"ApiKey": []}]
        responses.setdefault("401", _problem(f"no valid {API_KEY_HEADER}"))
        responses.setdefault("429", _problem("too many requests; `Retry-After` says when to ask again"))


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}
