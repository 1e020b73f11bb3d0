"""GET ``/events/stream``: the events of an account as Server-Sent Events, from the same stream that WebSockets read.

``Last-Event-ID`` is the log's epoch and the number of the last event, as ``id:`` lines give them. The client goes on
exactly there; where it cannot, it gets a snapshot of the orders of the day, as on the WebSocket.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request, Response
from starlette.types import Receive, Scope, Send

from app.api.dependencies import DATABASE_S, AccountIdQuery, PrincipalDep, ServicesDep, require_account
from app.api.keys import API_KEY_HEADER
from app.api.order_stream import access_of
from app.api.problems import problem_responses
from app.api.sockets import Permission
from app.broker.identifiers import DEFAULT_ACCOUNT
from app.errors import RateLimited, ServiceError, Unavailable
from app.events.order_reader import Frame, OrderReader
from app.events.order_stream import OrderStreamHub
from app.events.protocol import CloseReason, Resume, StreamClosed
from app.kit.answer_time import answering_within

MEDIA_TYPE = "text/event-stream"
RETRY_MS: Final = (1000, 5000)
"""Clients reconnect after a time between these, each after another one: not all at once after a restart."""

LastEventId = Annotated[
    str | None,
    Header(pattern=r"^[A-Za-z0-9_-]{1,64}:[0-9]{1,18}$", description="the `id` of the last event that you have"),
]


def build_router() -> APIRouter:
    router = APIRouter()

    @router.get(
        "/events/stream",
        response_class=Response,
        tags=["events"],
        responses={
            200: {"description": "events without an end", "content": {MEDIA_TYPE: {}}},
            **problem_responses(400, 401, 403, 404, 429, 503),
        },
    )
    async def stream_events(
        request: Request,
        services: ServicesDep,
        principal: PrincipalDep,
        account_id: AccountIdQuery = DEFAULT_ACCOUNT,
        last_event_id: LastEventId = None,
    ) -> Response:
        """The messages of the order stream, one `data:` line each; comments are heartbeats."""
        require_account(services, principal=principal, account_id=account_id)
        hub = services.order_stream
        permission = Permission(
            access_of(services),
            key=request.headers.get(API_KEY_HEADER, ""),
            account_id=account_id,
            every_s=hub.limits.recheck_key_s,
        )
        return EventStream(hub, account_id=account_id, resume=resume_of(last_event_id), permission=permission)

    return router


def resume_of(last_event_id: str | None) -> Resume | None:
    """Where the client stopped; the header's form was checked."""
    if last_event_id is None:
        return None
    epoch, _, seq = last_event_id.rpartition(":")
    return Resume(epoch=epoch, seq=int(seq))


class EventStream(Response):
    """Sends what a reader of the hub has, until the client disconnects or the stream closes it."""

    media_type = MEDIA_TYPE

    def __init__(self, hub: OrderStreamHub, *, account_id: str, resume: Resume | None, permission: Permission) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.headers["x-accel-buffering"] = "no"  # nginx would keep events back
        self._hub = hub
        self._account_id = account_id
        self._resume = resume
        self._permission = permission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as in ASGI
        """Raises RateLimited and Unavailable before the answer has begun."""
        async with AsyncExitStack() as stack:
            try:
                joining = self._hub.join(self._account_id, resume=self._resume)
                reader = await stack.enter_async_context(joining)
            except StreamClosed as closed:
                raise _refusal(closed.reason) from closed
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            reason = await self._serve(reader, receive, send)
        if reason is not None:
            self._hub.counts.dropped[reason] += 1
            with suppress(StreamClosed):  # it does not read even that
                await self._write(send, f'event: closed\ndata: {{"code":{reason.code},"reason":"{reason.text}"}}\n\n')
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _serve(self, reader: OrderReader, receive: Receive, send: Send) -> CloseReason | None:
        """Write until it ends; why the stream closed it, None where the client did."""
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write_all(reader, send))
            gone = tasks.create_task(_disconnected(receive))
            await asyncio.wait((writer, gone), return_when=asyncio.FIRST_COMPLETED)
            for task in (writer, gone):
                task.cancel()
        return None if writer.cancelled() else writer.result()

    async def _write_all(self, reader: OrderReader, send: Send) -> CloseReason:
        try:
            await self._write(send, f"retry: {random.randint(*RETRY_MS)}\n\n")
            while True:
                with answering_within(DATABASE_S):  # a replay reads the log
                    frames = await reader.next_frames()
                self._permission.check()
                if frames:
                    await self._write(send, rendered(frames, epoch=reader.epoch))
                    self._hub.counts.delivered += len(frames)
        except StreamClosed as closed:
            return closed.reason
        except Unavailable:
            return CloseReason.UNAVAILABLE

    async def _write(self, send: Send, text: str) -> None:
        try:
            async with asyncio.timeout(self._hub.limits.write_timeout_s):
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        except TimeoutError as error:
            raise StreamClosed(CloseReason.SLOW_CONSUMER) from error


def rendered(frames: Sequence[Frame], *, epoch: str) -> str:
    """Frames as Server-Sent Events, each with the ``id`` by which the client goes on after it."""
    return "".join(_event(frame, epoch=epoch) for frame in frames)


def _event(frame: Frame, *, epoch: str) -> str:
    if frame.kind == "heartbeat":
        return f": {frame.text}\n\n"
    number = "" if frame.seq is None else f"id: {epoch}:{frame.seq}\n"
    return f"{number}data: {frame.text}\n\n"


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _refusal(reason: CloseReason) -> ServiceError:
    if reason is CloseReason.CONNECTION_LIMIT:
        return RateLimited("the account has as many connections as it may have", retry_after_s=5.0)
    return Unavailable("the service is stopping", retry_after_s=1.0)
