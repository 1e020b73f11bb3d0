"""The frame around a request that the stopping service gives up."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.middleware import RequestFrame


async def _never(_scope: Scope, receive: Receive, _send: Send) -> None:
    await receive()


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "sent"),
    [
        ("POST", "/orders", 409, "ACCEPTANCE_UNKNOWN", "unknown"),
        ("DELETE", "/orders/1", 409, "ACCEPTANCE_UNKNOWN", "unknown"),
        ("POST", "/advanced/batch-orders", 409, "ACCEPTANCE_UNKNOWN", "unknown"),
        ("POST", "/positions/close", 409, "ACCEPTANCE_UNKNOWN", "unknown"),
        ("GET", "/orders", 503, "STOPPING", "no"),
        ("POST", "/subscriptions", 503, "STOPPING", None),
    ],
)
async def test_a_request_that_the_stop_cancels_is_answered(
    method: str, path: str, status: int, code: str, sent: str | None
) -> None:
    """Whether an order was stored is not known then: no 5xx, which client libraries repeat by themselves."""
    answers: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answers.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": []}
    request = asyncio.create_task(RequestFrame(_never, new_id=lambda: "r1")(scope, receive, send))
    await asyncio.sleep(0)
    request.cancel()
    await request
    body = json.loads(answers[1]["body"])
    assert (answers[0]["status"], body["code"], body.get("sent")) == (status, code, sent)
