"""``python -m app tail``: ticks as the service publishes them to Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from app.config import Settings
from app.db.redis import open_redis
from app.db.redis_keys import RedisKeys
from app.errors import StartError


class _Names(msgspec.Struct):
    """The fields of a tick that name its instrument."""

    exchange: str = ""
    tradingsymbol: str = ""


async def ticks(settings: Settings, *, pattern: str, count: int, seconds: float) -> AsyncIterator[str]:
    """At most ``count`` ticks within ``seconds``, as JSON text.

    ``pattern`` is ``*``, an instrument token, ``EXCHANGE:TRADINGSYMBOL``, or a glob of tokens. Raises StartError.
    """
    symbol = pattern if ":" in pattern else None
    channel = RedisKeys(settings.redis_prefix).ticks("*" if symbol else pattern)
    redis = open_redis(settings)
    try:
        async with redis.pubsub() as pubsub:
            await pubsub.psubscribe(channel)
            async for payload in _messages(pubsub, count=count, seconds=seconds, symbol=symbol):
                yield payload
    except (RedisError, OSError) as error:
        raise StartError(f"REDIS_URL: cannot read from Redis: {error}") from error
    finally:
        await redis.aclose()


async def _messages(pubsub: PubSub, *, count: int, seconds: float, symbol: str | None) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while count > 0 and (left := deadline - loop.time()) > 0:
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=min(left, 1.0))
        if message is None or not isinstance(message["data"], bytes):
            continue
        if symbol is not None and _symbol(message["data"]) != symbol:
            continue
        count -= 1
        yield message["data"].decode()


def _symbol(payload: bytes) -> str:
    try:
        names = msgspec.json.decode(payload, type=_Names)
    except msgspec.DecodeError:
        return ""
    return f"{names.exchange}:{names.tradingsymbol}"
