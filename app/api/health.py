"""The paths that need no key: health, two probes for the platform, and metrics for Prometheus."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel

from app.api.dependencies import ServicesDep
from app.api.keys import ApiKeys, Principal
from app.api.strict_route import StrictRoute
from app.kit.clock import ist_iso
from app.ops.health import AccountHealth, Health, Reachable, Role, Status
from app.ops.trading_health import CandidateHealth, TradingHealth


class AccountHealthOut(BaseModel):
    """One account's feed. `role`: `leader` in the process that holds the feed, `follower` in every other."""

    account_id: str
    role: Role
    connected: bool
    sockets: int
    subscriptions: int
    last_tick_age_ms: int | None
    token_valid_until: str | None


class TickerOut(BaseModel):
    """`running`: no background task has failed, and the service is not stopping.

    `unled`: the accounts whose feed no replica runs; null while the database, which knows that, cannot be read.
    """

    running: bool
    unled: list[str] | None
    accounts: list[AccountHealthOut]


class RegistryOut(BaseModel):
    """The instrument list. `status`: `ok`, `stale` or `empty`."""

    status: str
    cached_instruments: int
    last_refresh: str | None


class DependenciesOut(BaseModel):
    """What answered just now. `redis_refuses`: the error code with which Redis answers ticks; null: it takes them."""

    redis: Reachable
    redis_refuses: str | None
    database: Reachable
    instrument_registry: RegistryOut


class ReplicaOut(BaseModel):
    """A running replica. `may_send`: it may own the account and send its orders; `why` says why, or why not.

    `address` is the one from which the broker sees it, where an operator has given it.
    """

    replica: str
    address: str
    is_owner: bool
    may_send: bool
    why: str


class AccountTradingOut(BaseModel):
    """Would an order placed now reach the broker? `reasons` say why not, in a fixed order; `since` when it is so.

    `detail` has a sentence for each reason, and `replicas` says which of those that run may send the account's orders;
    both are null for callers without a key.
    """

    account_id: str
    can_trade: bool
    reasons: list[str]
    detail: dict[str, str] | None
    replicas: list[ReplicaOut] | None
    since: str | None


class OrdersOut(BaseModel):
    """All but `accounts` null while the database cannot be read. `halted`: a halt or `reduce_only` is in force for some
    account; see `reasons` of each."""

    in_doubt: int | None
    oldest_in_doubt_s: float | None
    halted: bool | None
    accounts: list[AccountTradingOut]


class HealthOut(BaseModel):
    """`status`: `down` when orders cannot be accepted, `degraded` when something else is missing."""

    status: Status
    environment: str
    version: str
    ticker: TickerOut
    dependencies: DependenciesOut
    orders: OrdersOut


class LiveOut(BaseModel):
    """``tasks``: running, done, cancelled or crashed, by name."""

    status: Literal["ok", "failed"]
    tasks: dict[str, str]


class ReadyOut(BaseModel):
    """`reasons` is empty when ready."""

    status: Literal["ready", "not_ready"]
    reasons: list[str]


def build_router() -> APIRouter:
    router = APIRouter(route_class=StrictRoute, tags=["health"])

    @router.get("/health", responses={503: {"model": HealthOut, "description": "the database is away"}})
    async def health(
        services: ServicesDep, response: Response, x_api_key: Annotated[str | None, Header()] = None
    ) -> HealthOut:
        """Each dependency is checked by a round trip: 200 for `ok` and `degraded`, 503 for `down`."""
        found = await services.health.check()
        if found.status == "down":
            response.status_code = 503
        return _health_out(found, keys=services.api_keys, caller=services.api_keys.authenticate(x_api_key))

    @router.get("/health/live", responses={503: {"model": LiveOut, "description": "a background task has ended"}})
    async def live(services: ServicesDep, response: Response) -> LiveOut:
        """Are all background tasks alive? No dependency is checked."""
        alive = services.health.live()
        response.status_code = 200 if alive else 503
        return LiveOut(status="ok" if alive else "failed", tasks=dict(services.health.tasks()))

    @router.get("/health/ready", responses={503: {"model": ReadyOut, "description": "send no traffic here"}})
    async def ready(services: ServicesDep, response: Response) -> ReadyOut:
        """This replica is not stopping, its schema is of this version, and its database connections are not dead."""
        readiness = await services.health.readiness()
        response.status_code = 200 if readiness.ready else 503
        return ReadyOut(status="ready" if readiness.ready else "not_ready", reasons=list(readiness.reasons))

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics(services: ServicesDep) -> Response:
        """Prometheus text."""
        return Response(services.metrics.render(), media_type=services.metrics.content_type)

    return router


def _health_out(health: Health, *, keys: ApiKeys, caller: Principal | None) -> HealthOut:
    orders = health.orders
    return HealthOut(
        status=health.status,
        environment=health.environment,
        version=health.version,
        ticker=TickerOut(
            running=health.ticker_running,
            unled=None if orders is None else list(orders.unled_feeds),
            accounts=[_account_out(one) for one in health.accounts],
        ),
        dependencies=DependenciesOut(
            redis=health.redis,
            redis_refuses=health.redis_refuses,
            database=health.database,
            instrument_registry=RegistryOut(
                status=health.registry.status,
                cached_instruments=health.registry.cached_instruments,
                last_refresh=_iso(health.registry.last_refresh),
            ),
        ),
        orders=OrdersOut(
            in_doubt=None if orders is None else orders.in_doubt,
            oldest_in_doubt_s=None if orders is None else orders.oldest_in_doubt_s,
            halted=None if orders is None else orders.halted,
            accounts=[
                _trading_out(one, shows_detail=caller is not None and keys.allowed(caller, one.account_id))
                for one in health.trading
            ],
        ),
    )


def _trading_out(account: TradingHealth, *, shows_detail: bool) -> AccountTradingOut:
    return AccountTradingOut(
        account_id=account.account_id,
        can_trade=account.can_trade,
        reasons=list(account.reasons),
        detail=dict(account.detail) if shows_detail else None,
        replicas=[_replica_out(one) for one in account.candidates] if shows_detail else None,
        since=_iso(account.since),
    )


def _replica_out(candidate: CandidateHealth) -> ReplicaOut:
    return ReplicaOut(
        replica=candidate.replica,
        address=candidate.address,
        is_owner=candidate.is_owner,
        may_send=candidate.may_send,
        why=candidate.why,
    )


def _account_out(account: AccountHealth) -> AccountHealthOut:
    return AccountHealthOut(
        account_id=account.account_id,
        role=account.role,
        connected=account.connected,
        sockets=account.sockets,
        subscriptions=account.subscriptions,
        last_tick_age_ms=account.last_tick_age_ms,
        token_valid_until=_iso(account.token_valid_until),
    )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else ist_iso(moment)
