"""What is sent, for programs that check it: the JSON Schema of each event type, and the AsyncAPI document."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Response

from app import __version__
from app.api.problems import problem_responses
from app.errors import NotFound
from app.events.asyncapi import asyncapi_document
from app.events.event_schemas import event_schemas

SCHEMA_TYPE = "application/schema+json"


def build_router() -> APIRouter:
    router = APIRouter(prefix="/schemas", tags=["events"], responses=problem_responses(401))
    schemas = {kind: msgspec.json.encode(schema) for kind, schema in event_schemas().items()}
    asyncapi = msgspec.json.encode(asyncapi_document(__version__))

    @router.get("/events/{type}.json", response_class=Response, responses=problem_responses(404))
    async def event_schema(type: str) -> Response:  # noqa: A002 - the name in the path, which clients read
        """The JSON Schema (draft 2020-12) of one event type: at webhooks, on the order stream, in `GET /events`."""
        if type not in schemas:
            raise NotFound("event type", type)
        return Response(schemas[type], media_type=SCHEMA_TYPE)

    @router.get("/asyncapi.json", response_class=Response)
    async def asyncapi_of_sockets() -> Response:
        """The AsyncAPI 3.0 document of both WebSockets."""
        return Response(asyncapi, media_type="application/json")

    return router
