"""How often may a caller send requests? By key and class of route; by address without a valid key.

The default class and the addresses are counted in this process: a bucket costs microseconds, and Redis would cost each
request a round trip. The scarce classes (batch orders, subscription writes, webhooks, instrument refresh) hold
across replicas: they are counted in Redis through ``limits.aio``, within a quarter of a second. While Redis is away
each replica allows its share of the limit by itself, so an outage neither lifts the limits nor refuses everything.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from loguru import logger
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.config import Settings
from app.db.redis_keys import RedisKeys
from app.errors import RateLimited
from app.kit.clock import Clock

REDIS_TIMEOUT_S = 0.25
REDIS_RETRY_AFTER_S = 1.0  # how long after a failure no request waits for Redis
MAX_BUCKETS = 10_000  # callers remembered at once; the one without requests for longest is forgotten first


class LimitClass(StrEnum):
    """Routes that share one limit."""

    DEFAULT = "default"
    BATCH_ORDERS = "batch_orders"
    SUBSCRIPTIONS = "subscriptions"
    WEBHOOKS = "webhooks"
    INSTRUMENT_REFRESH = "instrument_refresh"


_WRITES_UNDER = (
    ("/advanced/batch-orders", LimitClass.BATCH_ORDERS),
    ("/subscriptions", LimitClass.SUBSCRIPTIONS),
    ("/advanced/webhooks", LimitClass.WEBHOOKS),
    ("/admin/instrument-refresh", LimitClass.INSTRUMENT_REFRESH),
)


def classify(method: str, path: str) -> LimitClass:
    """The class of a route; reads are always of the default class."""
    if method in {"GET", "HEAD", "OPTIONS"}:
        return LimitClass.DEFAULT
    return next((kind for prefix, kind in _WRITES_UNDER if path.startswith(prefix)), LimitClass.DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """``amount`` at once, then one every ``period_s / amount`` seconds."""

    amount: int
    period_s: float

    @classmethod
    def of(cls, item: RateLimitItem, *, replicas: int = 1) -> Rate:
        """The rate of a limit, or the share of one replica: at least one request in the period."""
        return cls(amount=max(1, item.amount // replicas), period_s=item.get_expiry())


class Buckets:
    """The generic cell rate algorithm: one number per caller, the moment at which its bucket will be full again."""

    def __init__(self, rate: Rate, *, max_callers: int = MAX_BUCKETS) -> None:
        self._step = rate.period_s / rate.amount
        self._depth = rate.period_s
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._max_callers = max_callers

    def take(self, caller: str, *, now: float) -> float:
        """0.0 when allowed, else the seconds until the next request will be. ``now`` is monotonic."""
        full_at = max(now, self._full_at.get(caller, now)) + self._step
        wait = full_at - now - self._depth
        if wait > self._step * 1e-6:  # rounding must not cost the last request of the amount
            return wait
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > self._max_callers:
            self._full_at.popitem(last=False)
        return 0.0


class RateLimits:
    """``check_address`` and ``check`` raise RateLimited; ``hits`` counts how often they did."""

    def __init__(self, settings: Settings, *, redis: Redis, clock: Clock) -> None:
        self._clock = clock
        self._items = _shared_items(settings)
        self._default = Buckets(Rate.of(parse(settings.limit_default)))
        self._addresses = Buckets(Rate.of(parse(settings.limit_address)))
        self._shares = {
            kind: Buckets(Rate.of(item, replicas=settings.limit_replicas)) for kind, item in self._items.items()
        }
        storage = RedisStorage(
            "redis://",
            implementation="redispy",
            key_prefix=RedisKeys(settings.redis_prefix).request_limits,
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # annotated too narrowly
        )
        self._shared = MovingWindowRateLimiter(storage)
        self._redis_away_until = 0.0
        self.hits = 0

    def check_address(self, address: str) -> None:
        """Count one request of an address. Raises RateLimited."""
        wait = self._addresses.take(address, now=self._clock.monotonic())
        self._refuse_if(wait, LimitClass.DEFAULT)

    async def check(self, caller: str, *, method: str, path: str) -> None:
        """Count one request of ``caller`` against the class of its route. Raises RateLimited."""
        kind = classify(method, path)
        if kind is LimitClass.DEFAULT:
            wait = self._default.take(caller, now=self._clock.monotonic())
        else:
            wait = await self._take_shared(kind, caller)
        self._refuse_if(wait, kind)

    async def _take_shared(self, kind: LimitClass, caller: str) -> float:
        now = self._clock.monotonic()
        if now >= self._redis_away_until:
            try:
                async with asyncio.timeout(REDIS_TIMEOUT_S):
                    return await self._ask_redis(kind, caller)
            except (RedisError, OSError, TimeoutError) as error:
                logger.warning("limits are counted in this process while Redis is away: {}", error)
                self._redis_away_until = self._clock.monotonic() + REDIS_RETRY_AFTER_S
        return self._shares[kind].take(caller, now=now)

    async def _ask_redis(self, kind: LimitClass, caller: str) -> float:
        item = self._items[kind]
        if await self._shared.hit(item, kind, caller):
            return 0.0
        window = await self._shared.get_window_stats(item, kind, caller)
        return max(1.0, window.reset_time - self._clock.now().timestamp())

    def _refuse_if(self, wait: float, kind: LimitClass) -> None:
        if wait <= 0.0:
            return
        self.hits += 1
        raise RateLimited(f"too many requests of class {kind}", retry_after_s=wait)


def _shared_items(settings: Settings) -> Mapping[LimitClass, RateLimitItem]:
    return {
        LimitClass.BATCH_ORDERS: parse(settings.limit_batch_orders),
        LimitClass.SUBSCRIPTIONS: parse(settings.limit_subscriptions),
        LimitClass.WEBHOOKS: parse(settings.limit_webhooks),
        LimitClass.INSTRUMENT_REFRESH: parse(settings.limit_instrument_refresh),
    }
