"""Subscriptions: which instruments are streamed, for which owner, and whether they tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.api.dependencies import AccountFilter, PrincipalDep, ServicesDep, require_account
from app.api.instruments import TokenPath
from app.api.keys import Principal
from app.api.paging import KeyCursor, Page, PageLimit, cursor_of_key, key_of_cursor
from app.api.problems import problem_responses
from app.api.services import Services
from app.api.strict_route import StrictRoute
from app.api.subscription_bodies import (
    ItemError,
    ItemOut,
    ItemsOut,
    RemovedOut,
    SubscriptionIn,
    SubscriptionOut,
    SubscriptionsIn,
    TokenStatusOut,
)
from app.broker.market import Instrument
from app.errors import BadInput, Gone, NotFound, Problem, ServiceError
from app.market.subscriptions.model import SubscriptionRequest
from app.market.subscriptions.records import SubscriptionRecord
from app.market.subscriptions.service import API_OWNER, SetResult
from app.market.subscriptions.tick_status import TickStatus

OwnerPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,64}$", examples=["strategy-1"])]


def build_router() -> APIRouter:
    router = APIRouter(
        route_class=StrictRoute,
        prefix="/subscriptions",
        tags=["subscriptions"],
        responses=problem_responses(400, 401, 403, 503),
    )
    _add_reads(router)
    _add_writes(router)
    return router


def _add_reads(router: APIRouter) -> None:
    @router.get("")
    async def list_subscriptions(
        services: ServicesDep,
        principal: PrincipalDep,
        status: Annotated[TickStatus | None, Query()] = None,
        limit: PageLimit = 100,
        cursor: KeyCursor = None,
    ) -> Page[SubscriptionOut]:
        """Every instrument that is streamed or will be, by exchange and symbol."""
        page, next_cursor = _page(services, principal, status=status, limit=limit, cursor=cursor)
        return Page(data=[SubscriptionOut.of(record) for record in page], next_cursor=next_cursor)

    @router.get("/status")
    async def subscription_status(
        services: ServicesDep,
        principal: PrincipalDep,
        status: Annotated[TickStatus | None, Query()] = None,
        limit: PageLimit = 500,
        cursor: KeyCursor = None,
    ) -> Page[TokenStatusOut]:
        """Per instrument: `requested`, `active` (sent to the broker), `ticking`, or `stale`."""
        page, next_cursor = _page(services, principal, status=status, limit=limit, cursor=cursor)
        return Page(data=[_status_out(services, record) for record in page], next_cursor=next_cursor)


def _add_writes(router: APIRouter) -> None:
    @router.post("", status_code=201, responses=problem_responses(404, 409, 410))
    async def subscribe(services: ServicesDep, principal: PrincipalDep, body: SubscriptionIn) -> SubscriptionOut:
        """Repeating is not an error; another `requested_mode` replaces the former."""
        request = await _request(services, principal, body)
        result = await services.subscriptions.subscribe(API_OWNER, [request], accounts=_accounts(services, principal))
        outcome = result.outcomes[0]
        if isinstance(outcome, ServiceError):
            raise outcome
        return SubscriptionOut.of(outcome)

    @router.post("/bulk")
    async def subscribe_bulk(services: ServicesDep, principal: PrincipalDep, body: SubscriptionsIn) -> ItemsOut:
        """Up to 3,000 at once: a result per item, and one message to the broker."""
        requests = await _requests(services, principal, body.items)
        good = [request for request in requests if isinstance(request, SubscriptionRequest)]
        result = await services.subscriptions.subscribe(API_OWNER, good, accounts=_accounts(services, principal))
        return _items_out(requests, result, owner=API_OWNER)

    @router.put("/sets/{owner}")
    async def replace_set(
        services: ServicesDep, principal: PrincipalDep, owner: OwnerPath, body: SubscriptionsIn
    ) -> ItemsOut:
        """Replace the whole set of this owner. An instrument that no owner wants any more is no longer streamed."""
        if owner == API_OWNER:
            message = f"{API_OWNER} is the owner of what POST /subscriptions adds: choose another name"
            raise BadInput([Problem(loc=("path", "owner"), msg=message)])
        requests = await _requests(services, principal, body.items)
        good = [request for request in requests if isinstance(request, SubscriptionRequest)]
        result = await services.subscriptions.replace_set(owner, good, accounts=_accounts(services, principal))
        return _items_out(requests, result, owner=owner)

    @router.delete("/{instrument_token}", responses=problem_responses(404))
    async def unsubscribe(
        services: ServicesDep, principal: PrincipalDep, instrument_token: TokenPath, account_id: AccountFilter = None
    ) -> RemovedOut:
        """Remove what POST added, at every account or at one."""
        if account_id is not None:
            require_account(services, principal=principal, account_id=account_id)
        others = await services.subscriptions.unsubscribe(
            API_OWNER, instrument_token=instrument_token, account_id=account_id
        )
        return RemovedOut(instrument_token=instrument_token, still_wanted_by=others)


def _page(
    services: Services, principal: Principal, *, status: TickStatus | None, limit: int, cursor: str | None
) -> tuple[list[SubscriptionRecord], str | None]:
    after = key_of_cursor(cursor)
    found = [
        record
        for record in services.subscriptions.records()
        if (after is None or _position(record) > after)
        and status in {None, record.status}
        and services.api_keys.allowed(principal, record.account_id)
    ]
    more = len(found) > limit
    return found[:limit], cursor_of_key(_position(found[limit - 1])) if more else None


def _position(record: SubscriptionRecord) -> str:
    """A key that sorts as ``records`` does, since no field contains the separator."""
    return f"{record.exchange}\x00{record.tradingsymbol}\x00{record.account_id}"


def _status_out(services: Services, record: SubscriptionRecord) -> TokenStatusOut:
    feed = services.feeds.get(record.account_id)
    carried = feed is not None and feed.state.connected and record.status is not TickStatus.REQUESTED
    return TokenStatusOut(
        instrument_token=record.instrument_token,
        exchange=record.exchange,
        tradingsymbol=record.tradingsymbol,
        account_id=record.account_id,
        mode=record.mode,
        status=record.status,
        socket=0 if carried else None,
        last_tick_age_ms=record.last_tick_age_ms,
    )


async def _request(services: Services, principal: Principal, item: SubscriptionIn) -> SubscriptionRequest:
    """The instrument, mode and account of one item. Raises NotFound, Gone or NotAuthorised."""
    if item.account_id is not None:
        require_account(services, principal=principal, account_id=item.account_id)
    return SubscriptionRequest(
        instrument=await _instrument(services, item), mode=item.requested_mode, account_id=item.account_id
    )


async def _instrument(services: Services, item: SubscriptionIn) -> Instrument:
    if item.instrument_token is not None:
        return await services.instruments.get(item.instrument_token)
    return await services.instruments.get_by_symbol(item.exchange or "", item.tradingsymbol or "")


async def _requests(
    services: Services, principal: Principal, items: Sequence[SubscriptionIn]
) -> list[SubscriptionRequest | ServiceError]:
    """A request or an error for each item: a missing instrument or account does not fail the others."""
    requests: list[SubscriptionRequest | ServiceError] = []
    for item in items:
        try:
            requests.append(await _request(services, principal, item))
        except (NotFound, Gone) as error:
            requests.append(error)
    return requests


def _accounts(services: Services, principal: Principal) -> list[str]:
    return [account_id for account_id in services.feeds if services.api_keys.allowed(principal, account_id)]


def _items_out(requests: Sequence[SubscriptionRequest | ServiceError], result: SetResult, *, owner: str) -> ItemsOut:
    outcomes = iter(result.outcomes)
    merged = [next(outcomes) if isinstance(request, SubscriptionRequest) else request for request in requests]
    data = [_item_out(index, outcome, owner=owner) for index, outcome in enumerate(merged)]
    refused = sum(1 for item in data if item.error is not None)
    return ItemsOut(data=data, changed=result.changed, removed=result.removed, refused=refused)


def _item_out(index: int, outcome: SubscriptionRecord | ServiceError, *, owner: str) -> ItemOut:
    if isinstance(outcome, ServiceError):
        return ItemOut(index=index, error=ItemError(code=outcome.code, detail=outcome.message))
    return ItemOut(index=index, subscription=SubscriptionOut.of(outcome, owner=owner))
