"""Redis: how clients are made. It carries ticks and hints; an outage of it loses neither an order nor an event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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

from app.config import Settings
from app.kit.cancellation import cancel_requests, end_if_cancelled


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisBounds:
    """How long a command and a new connection may take, and how many connections one client keeps."""

    command_s: float = 2.0
    connect_s: float = 2.0
    connections: int = 50

    @classmethod
    def from_settings(cls, settings: Settings) -> RedisBounds:
        """Those that the operator chose."""
        return cls(
            command_s=settings.redis_timeout_s,
            connect_s=settings.redis_connect_timeout_s,
            connections=settings.redis_pool_size,
        )


def open_redis(settings: Settings) -> Redis:
    """The client that the settings describe."""
    return make_redis(settings.redis_url.get_secret_value(), bounds=RedisBounds.from_settings(settings))


def make_redis(url: str, *, bounds: RedisBounds | None = None) -> Redis:
    """A client that connects at first use. A command fails within its bound and is not retried here."""
    bounds = bounds or RedisBounds()
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=bounds.command_s,
        socket_connect_timeout=bounds.connect_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=15,
        max_connections=bounds.connections,
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
