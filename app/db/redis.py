"""Redis: how clients are made. Redis carries ticks and hints; losing it loses neither an order nor an event."""

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
from redis.retry import Retry

from app.kit.cancellation import cancel_requests, end_if_cancelled

OPERATION_TIMEOUT_S = 2.0


class _KeepsCancellation(AbstractConnection):
    """The library sends under ``asyncio.wait_for``, which loses a cancellation that comes as the send is done."""

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        asked = cancel_requests()
        await super().send_packed_command(command, check_health)
        if cancel_requests() > asked:
            await self.disconnect(nowait=True)  # nobody will read the answer
            end_if_cancelled(beyond=asked)


class _Tcp(_KeepsCancellation, Connection): ...


class _Tls(_KeepsCancellation, SSLConnection): ...


class _Unix(_KeepsCancellation, UnixDomainSocketConnection): ...


_OURS: Mapping[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
}


def make_redis(url: str) -> Redis:
    """A client that connects at first use and fails within two seconds; retrying is the caller's business."""
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=OPERATION_TIMEOUT_S,
        socket_connect_timeout=OPERATION_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=15,
        max_connections=50,
    )
    pool.connection_class = _OURS[pool.connection_class]
    return Redis.from_pool(pool)
