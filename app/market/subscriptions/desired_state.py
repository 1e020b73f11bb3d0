"""From what owners want to what must be stored and what a feed must be asked: differences only. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from app.broker.market import Mode
from app.market.subscriptions.model import DesiredStream, StreamKey, Subscription

TokenLookup: TypeAlias = Callable[[Subscription], int | None]
"""Today's token of a subscribed instrument; None: it does not exist today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedChange:
    """What to ask of a feed so that it streams what is desired; what it streams already is not in it."""

    subscribe: Mapping[int, Mode]
    unsubscribe: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetChange:
    """What must be stored so that an owner's subscriptions become the wanted ones."""

    upsert: Mapping[StreamKey, Mode]
    remove: tuple[StreamKey, ...]


def combine(subscriptions: Iterable[Subscription], *, token_of: TokenLookup) -> dict[StreamKey, DesiredStream]:
    """The subscriptions of all owners, combined by account and instrument."""
    grouped: dict[StreamKey, list[Subscription]] = {}
    for subscription in subscriptions:
        grouped.setdefault(subscription.stream, []).append(subscription)
    return {stream: _combined(group, token_of=token_of) for stream, group in grouped.items()}


def _combined(group: Sequence[Subscription], *, token_of: TokenLookup) -> DesiredStream:
    newest = max(group, key=lambda one: one.updated_at)
    return DesiredStream(
        account_id=newest.account_id,
        exchange=newest.exchange,
        tradingsymbol=newest.tradingsymbol,
        stored_token=newest.instrument_token,
        token=token_of(newest),
        mode=max((one.requested_mode for one in group), key=lambda mode: mode.rank),
        owners={one.owner: one.requested_mode for one in group},
        created_at=min(one.created_at for one in group),
        updated_at=newest.updated_at,
    )


def modes_of(desired: Iterable[DesiredStream], *, account_id: str) -> dict[int, Mode]:
    """What one account's feed should stream: the mode by today's token."""
    return {item.token: item.mode for item in desired if item.account_id == account_id and item.token is not None}


def plan_feed(desired: Mapping[int, Mode], actual: Mapping[int, Mode]) -> FeedChange:
    """The difference between what should be streamed and what the feed has among its subscriptions."""
    return FeedChange(
        subscribe={token: mode for token, mode in desired.items() if actual.get(token) is not mode},
        unsubscribe=tuple(token for token in actual if token not in desired),
    )


def plan_set(present: Mapping[StreamKey, Mode], wanted: Mapping[StreamKey, Mode]) -> SetChange:
    """From what an owner has to what it wants, leaving what is equal alone."""
    return SetChange(
        upsert={stream: mode for stream, mode in wanted.items() if present.get(stream) is not mode},
        remove=tuple(stream for stream in present if stream not in wanted),
    )
