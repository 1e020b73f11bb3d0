"""The event log over HTTP, and how many sockets read the streams."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import AccountIdQuery, PrincipalDep, ServicesDep, require_account
from app.api.paging import PageLimit
from app.api.problems import problem_responses
from app.api.strict_route import StrictRoute
from app.broker.identifiers import DEFAULT_ACCOUNT
from app.errors import Gone
from app.events.event_log import EventLog
from app.events.protocol import EventPage, event_update

_EXAMPLE: dict[str, Any] = {
    "type": "order_update",
    "account_id": "primary",
    "seq": 42,
    "event": "order_completed",
    "timestamp": "2026-01-05T09:15:01.123456+05:30",
    "data": {"order_id": "260105000000042", "status": "COMPLETE", "state": "completed"},
}

EventCursor = Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$", description="`next_cursor` of the page before")]
AfterSeq = Annotated[int | None, Query(ge=0, le=10**18, description="the last `seq` that you have (0: from the start)")]


class EventView(BaseModel):
    """One event, as the order stream sends it."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    type: Literal["order_update"]
    account_id: str
    seq: int
    event: str
    timestamp: datetime
    data: dict[str, Any]


class EventList(BaseModel):
    """``epoch`` names the log: when it changes, what was read before does not continue."""

    data: list[EventView]
    next_cursor: str | None = Field(description="null at the end of the log; go on later with `after`")
    epoch: str | None = Field(description="null before the account's first event")
    seq: int = Field(description="the newest event of the log")
    oldest: int | None = Field(description="the oldest event that is kept; null where there is none")


class AccountSockets(BaseModel):
    """Open sockets of one account's order stream."""

    account_id: str
    connections: int


class TickSockets(BaseModel):
    """Open sockets of the tick stream."""

    connections: int


class SocketStats(BaseModel):
    """``dropped`` counts the sockets that the service closed since it started, by reason."""

    orders: list[AccountSockets]
    ticks: TickSockets
    dropped: dict[str, int]


def build_router() -> APIRouter:
    router = APIRouter(route_class=StrictRoute)

    @router.get(
        "/events", response_model=EventList, tags=["events"], responses=problem_responses(400, 401, 403, 404, 410)
    )
    async def list_events(
        services: ServicesDep,
        principal: PrincipalDep,
        account_id: AccountIdQuery = DEFAULT_ACCOUNT,
        after: AfterSeq = None,
        limit: PageLimit = 100,
        cursor: EventCursor = None,
    ) -> Response:
        """The events of an account by sequence number, without gaps, oldest first.

        410 `EVENTS_DROPPED`: the event after `after` is not kept any more, `oldest` of the first page says what is.
        """
        require_account(services, principal=principal, account_id=account_id)
        body = await read_page(services.events, account_id, after=start_of(after=after, cursor=cursor), limit=limit)
        return Response(body, media_type="application/json")

    @router.get("/advanced/ws/stats", tags=["events"], responses=problem_responses(401))
    async def socket_stats(services: ServicesDep, principal: PrincipalDep) -> SocketStats:
        """How many sockets this process serves, by account."""
        orders, ticks = services.order_stream.stats(), services.tick_stream.stats()
        return SocketStats(
            orders=[
                AccountSockets(account_id=account_id, connections=count)
                for account_id, count in sorted(orders.connections.items())
                if services.api_keys.allowed(principal, account_id)
            ],
            ticks=TickSockets(connections=sum(ticks.connections.values())),
            dropped={reason: count + ticks.dropped[reason] for reason, count in orders.dropped.items()},
        )

    return router


def start_of(*, after: int | None, cursor: str | None) -> int:
    """The sequence number after which to read, 0 for the start: the further of both, as a cursor goes on from there."""
    return max(int(cursor or 0), after or 0)


async def read_page(log: EventLog, account_id: str, *, after: int, limit: int) -> bytes:
    """One page as JSON. The events are encoded as they were stored, so that no number becomes a Python float.

    Raises Gone where the event after ``after`` was dropped, except at the start: that is the oldest one that is kept.
    """
    events = await log.page(account_id, after=after, limit=limit)
    if after and events and events[0].seq != after + 1:
        raise Gone("event", str(after + 1), code="EVENTS_DROPPED")
    head = await log.head(account_id)
    page = EventPage(
        data=[event_update(event) for event in events],
        next_cursor=str(events[-1].seq) if len(events) == limit else None,
        epoch=head.epoch if head else None,
        seq=head.seq if head else 0,
        oldest=await log.oldest(account_id),
    )
    return msgspec.json.encode(page)
