"""Redis: how clients are made. It carries ticks and hints; an outage of it loses neither an order nor an event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from redis.asyncio import Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from app.kit.cancellation import cancel_requests, end_if_cancelled

OPERATION_TIMEOUT_S = 2.0


class _KeepsCancellation(AbstractConnection):
    """The library sends under ``asyncio.wait_for``, which loses a cancellation that arrives as the send completes."""

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        cancels = cancel_requests()
        await super().send_packed_command(command, check_health)
        if cancel_requests() > cancels:
            await self.disconnect(nowait=True)  # the answer will not be read
            end_if_cancelled(beyond=cancels)


class _Tcp(_KeepsCancellation, Connection): ...


class _Tls(_KeepsCancellation, SSLConnection): ...


class _Unix(_KeepsCancellation, UnixDomainSocketConnection): ...


_CONNECTIONS: Mapping[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
}


def make_redis(url: str) -> Redis:
    """A client that connects at first use. A command fails within two seconds and is not retried here."""
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=OPERATION_TIMEOUT_S,
        socket_connect_timeout=OPERATION_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=15,
        max_connections=50,
    )
    pool.connection_class = _CONNECTIONS[pool.connection_class]
    return Redis.from_pool(pool)


async def ping(redis: Redis) -> None:
    """A round trip. Raises RedisError.

    A pooled connection that has died while it was idle says nothing about the server: then all idle ones are dropped,
    and the answer is that of a new one.
    """
    try:
        await redis.ping()
    except RedisConnectionError:
        end_if_cancelled()
        await redis.connection_pool.disconnect(inuse_connections=False)
        await redis.ping()
