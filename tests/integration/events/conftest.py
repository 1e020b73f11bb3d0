"""A hub on a real database and a real Redis, behind a real server, for a `websockets` client to talk to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
import uvicorn
from fastapi import FastAPI, WebSocket
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.api.keys import Principal
from app.api.order_stream import serve_orders
from app.api.sockets import SocketAccess
from app.api.tick_stream import serve_ticks
from app.db.postgres import Database, Tx, open_database
from app.db.redis import make_redis
from app.db.redis_keys import RedisKeys
from app.events import event_append_store
from app.events.asyncapi import asyncapi_document
from app.events.limits import StreamLimits
from app.events.model import NewEvent
from app.events.order_stream import OrderStreamHub
from app.events.tick_stream import TickStreamHub
from app.kit.clock import SystemClock
from app.kit.ids import IdSource
from tests.json_schema import violations
from tests.waiting import running_tasks

KEY = "a-key-that-may-read-everything"
ACCOUNTS = frozenset({"primary", "second"})
WAIT_S = 20.0
"""Longer than any pause of a busy machine, shorter than the polls that a test turns off."""


@dataclass(kw_only=True)
class Market:
    """A TickSource whose knowledge the test writes."""

    subscribed: set[int] = field(default_factory=set)
    last: dict[int, bytes] = field(default_factory=dict)
    here: set[int] = field(default_factory=set)

    def is_subscribed(self, instrument_token: int) -> bool:
        return instrument_token in self.subscribed

    def is_streamed_here(self, instrument_token: int) -> bool:
        return instrument_token in self.here

    def last_json(self, instrument_token: int) -> bytes | None:
        return self.last.get(instrument_token)


@dataclass(kw_only=True)
class Replica:
    """One process of the service as far as streams go; `keys` may be changed while it runs."""

    database: Database
    redis: Redis
    orders: OrderStreamHub
    ticks: TickStreamHub
    market: Market
    keys: set[str]
    port: int = 0

    def orders_url(self, account_id: str = "primary") -> str:
        return f"ws://127.0.0.1:{self.port}/advanced/ws/orders/{account_id}"

    def ticks_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/ticks"

    async def append(self, count: int = 1, *, account_id: str = "primary", wake: bool = True) -> None:
        """Write `count` events in one transaction, and say so as the order engine does."""
        await append(self.database, count, account_id=account_id)
        if wake:
            self.orders.wake(account_id)


StartReplica = Callable[..., Any]


async def append(database: Database, count: int = 1, *, account_id: str = "primary", size: int = 0) -> None:
    async with database.transaction() as tx:
        await event_append_store.lock(tx, account_id, epoch="first")
        data = {"order_id": "260105000000001", "filler": "x" * size}
        await event_append_store.append(tx, account_id, [NewEvent(type="order_updated", data=data)] * count)


async def orders_of_the_day(tx: Tx, account_id: str) -> Sequence[Mapping[str, Any]]:
    """Stands in for the orders package: one "order" that says how many events its transaction sees."""
    cursor = await tx.execute("SELECT count(*) FROM event WHERE account_id = %s", (account_id,))
    row = await cursor.fetchone()
    assert row is not None
    return [{"order_id": "260105000000001", "events": row[0]}]


class QuietServer(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[int]:
    """A uvicorn server in this loop on a free port."""
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", ws_per_message_deflate=False, timeout_graceful_shutdown=1
    )
    # asyncio sets TCP_NODELAY only where the protocol number says TCP
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        server = QuietServer(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, WAIT_S)


@asynccontextmanager
async def running(*hubs: OrderStreamHub | TickStreamHub) -> AsyncIterator[None]:
    async with running_tasks(*(hub.run() for hub in hubs)):
        yield


@asynccontextmanager
async def replica_of(
    *, database_url: str, redis_url: str, prefix: str, limits: StreamLimits, max_size: int
) -> AsyncIterator[Replica]:
    async with AsyncExitStack() as stack:
        database = await open_database(database_url, name="test", max_size=max_size)
        stack.push_async_callback(database.close)
        redis = make_redis(redis_url)
        stack.push_async_callback(redis.aclose)
        orders = OrderStreamHub(
            database,
            redis=redis,
            keys=RedisKeys(prefix),
            ids=IdSource(SystemClock()),
            limits=limits,
            snapshot=orders_of_the_day,
        )
        market = Market()
        ticks = TickStreamHub(
            redis,
            keys=RedisKeys(prefix),
            limits=limits,
            source=market,
        )
        replica = Replica(database=database, redis=redis, orders=orders, ticks=ticks, market=market, keys={KEY})
        await stack.enter_async_context(running(orders, ticks))
        replica.port = await stack.enter_async_context(serving(app_of(replica)))
        yield replica


def app_of(replica: Replica) -> FastAPI:
    access = SocketAccess(
        authenticate=lambda key: Principal(key_id="test") if key in replica.keys else None,
        allowed=lambda _, account_id: account_id in ACCOUNTS,
        clock=SystemClock(),
    )
    app = FastAPI()

    @app.websocket("/advanced/ws/orders/{account_id}")
    async def orders(websocket: WebSocket, account_id: str) -> None:
        await serve_orders(websocket, account_id, hub=replica.orders, access=access)

    @app.websocket("/ws/ticks")
    async def ticks(websocket: WebSocket) -> None:
        await serve_ticks(websocket, hub=replica.ticks, access=access)

    return app


@pytest_asyncio.fixture
async def start_replica(database_url: str, redis_url: str, redis_prefix: str) -> AsyncIterator[StartReplica]:
    """Call it for one replica or several; keyword arguments are limits, or `redis_url`, or `database_url`."""
    async with AsyncExitStack() as stack:

        async def start(*, redis_url: str = redis_url, database_url: str = database_url, **limits: Any) -> Replica:
            return await stack.enter_async_context(
                replica_of(
                    database_url=database_url,
                    redis_url=redis_url,
                    prefix=redis_prefix,
                    limits=StreamLimits(**limits),
                    max_size=6,
                )
            )

        yield start


@pytest_asyncio.fixture
async def replica(start_replica: StartReplica) -> Replica:
    replica: Replica = await start_replica()
    return replica


@dataclass(kw_only=True)
class Client:
    """A trading program: greeted, and knowing where it stands."""

    socket: ClientConnection
    greeting: dict[str, Any]
    snapshot: dict[str, Any] | None

    async def receive(self) -> dict[str, Any]:
        return await receive(self.socket)

    async def sequence(self, count: int) -> list[int]:
        """The `seq` of the next `count` events; heartbeats are passed over."""
        seqs: list[int] = []
        while len(seqs) < count:
            message = await self.receive()
            if message["type"] == "order_update":
                seqs.append(message["seq"])
        return seqs


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        message: dict[str, Any] = json.loads(await socket.recv())
    if message.get("type", "tick") not in {"snapshot", "tick"}:  # tests here make up both
        check_message(message)
    return message


def check_message(message: dict[str, Any]) -> None:
    """Fail unless the AsyncAPI document has it for one of the two sockets."""
    name = f"{message.get('type', 'tick')}To"
    channels = asyncapi_document("0")["channels"].values()
    payloads = [one["messages"][name]["payload"] for one in channels if name in one["messages"]]
    assert payloads, message
    assert any(violations(message, payload) == [] for payload in payloads), (message, payloads)


async def wait_closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Read to the end: the code and the reason that the server gave."""
    async with asyncio.timeout(WAIT_S):
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
        await socket.wait_closed()
    return socket.close_code, socket.close_reason


@asynccontextmanager
async def talking(url: str, **resume: Any) -> AsyncIterator[Client]:
    """Connect, authenticate and take the greeting; `epoch=` and `seq=` resume."""
    async with connect(url, compression=None, max_size=None) as socket:
        await socket.send(json.dumps({"type": "auth", "api_key": KEY} | ({"resume": resume} if resume else {})))
        greeting = await receive(socket)
        wants_snapshot = "resumed" in greeting and not greeting["resumed"]
        yield Client(socket=socket, greeting=greeting, snapshot=await receive(socket) if wants_snapshot else None)
