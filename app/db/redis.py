"""Redis: how clients are made. Redis carries ticks and hints; losing it loses neither an order nor an event."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

OPERATION_TIMEOUT_S = 2.0


def make_redis(url: str) -> Redis:
    """A client that connects at first use and fails within two seconds; retrying is the caller's business."""
    return Redis.from_url(
        url,
        socket_timeout=OPERATION_TIMEOUT_S,
        socket_connect_timeout=OPERATION_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=15,
        max_connections=50,
    )
