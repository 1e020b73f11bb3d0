"""What a repeated key means after a loss of the database, by the orders that were found under its tags. Pure.

An order that was found is never placed a second time: it is the answer if it can be what the request asks for, and an
operator's case if it cannot. A key without an order is free only when the book has proven that it has none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.broker.orders import OrderRequest, OrderType
from app.orders.risk.exits import PositionFilter
from app.orders.state.completeness import makes_several
from app.orders.state.model import KnownOrder, OnFilled, Task
from app.orders.state.new_tasks import OrderLine
from app.orders.state.order_terms import BOOKED_AS
from app.orders.state.tags import ClientKey, TagOrigin

MAX_LEGS = 20
MAX_CLOSED = 500
"""Positions that one request may close."""
MOST_EXITS = 40
"""Exits of one leg that are recognised: more do not follow one another within the longest ``EXIT_DEADLINE_S``."""
MAX_REQUEUES = 3
"""Repetitions by an operator that are recognised; a fourth is found as an order that no request explains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a request asks for."""

    account_id: str
    lines: Sequence[OrderLine] = ()  # one, or the legs of a batch
    closes: PositionFilter | None = None  # in place of them: the positions that it closes, an exit for each
    is_batch: bool = False
    replaces: str | None = None  # the order that a single one replaces
    rollback_on_failure: bool = True
    on_filled: OnFilled = "report"

    @property
    def total_orders(self) -> int | None:
        """How many it asks for; None where that followed from the positions which were held then."""
        return len(self.lines) if self.closes is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOrder:
    """A task that was made of the book's rows, and the rows."""

    origin: TagOrigin  # of which order of the request it is
    task: Task
    orders: Sequence[KnownOrder]


class Meaning(StrEnum):
    """What becomes of the request."""

    FREE = "free"  # it has no order, so it may be placed
    WAIT = "wait"  # not proven yet
    BLOCKED = "blocked"  # an order without a tag may be its order; an operator decides
    FOUND = "found"  # its orders were found
    BROKEN = "broken"  # legs of a batch were found, and if there are others they were never sent
    OTHER = "other"  # the key was used for another request
    CONTRADICTED = "contradicted"  # an order was found that the request does not explain


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMeaning:
    """The meaning, with what it rests on."""

    meaning: Meaning
    orders: Mapping[int, FoundOrder] | None = None  # FOUND, BROKEN: by leg, 0 for a single order
    square_offs: Sequence[FoundOrder] = ()  # orders that closed what a leg had filled
    reason: str = ""  # CONTRADICTED, BLOCKED: what an operator should look at
    task_id: UUID | None = None  # CONTRADICTED: the task of the order, where it has one


def origins_of(key: ClientKey, *, account_ids: Collection[str], closes: bool = False) -> list[TagOrigin]:
    """Every order that may have been placed for a request under this key, in any of these accounts, without the exits
    that followed a leg. ``closes``: it may have been a request to close positions."""
    found: list[TagOrigin] = []
    for account_id in account_ids:
        single = TagOrigin(account_id=account_id, key=key)
        legs = [replace(single, kind="leg", leg=leg) for leg in range(MAX_CLOSED if closes else MAX_LEGS)]
        found += [single, single.follow_up("replace"), *legs]
        again = range(1, MAX_REQUEUES + 1)
        found += [one.follow_up("requeue", generation=number) for one in (single, *legs) for number in again]
    return found


def exits_after(origins: Iterable[TagOrigin]) -> list[TagOrigin]:
    """The exits that may have followed these orders."""
    legs = {replace(one, purpose="client", generation=0) for one in origins if one.kind == "leg"}
    ordered = sorted(legs, key=lambda one: (one.account_id, one.leg))
    return [leg.follow_up("square_off", generation=number) for leg in ordered for number in range(MOST_EXITS)]


def meaning_of(
    wanted: Wanted,
    found: Sequence[FoundOrder],
    *,
    recovering: bool,
    without_tag: Sequence[KnownOrder],
    unexplained: Sequence[str],
) -> KeyMeaning:
    """What the key of this request means.

    ``without_tag``: orders without any tag that may be of a forgotten request; ``unexplained``: orders under one of the
    key's tags of which no task could be made.
    """
    if _is_another_request(wanted, found):
        return KeyMeaning(meaning=Meaning.OTHER)
    if unexplained:
        return KeyMeaning(meaning=Meaning.CONTRADICTED, reason=f"orders {', '.join(unexplained)} have the key's tag")
    placed = _placed(found)
    compared = {leg: _compare_leg(wanted, leg, one.orders) for leg, one in placed.items()}
    if Match.OTHER in compared.values():
        return KeyMeaning(meaning=Meaning.OTHER)
    differing = [leg for leg, match in compared.items() if match is not Match.SAME]
    if differing:
        return _of_differing(placed[differing[0]], compared[differing[0]], recovering=recovering)
    if len(placed) == wanted.total_orders:
        return KeyMeaning(meaning=Meaning.FOUND, orders=placed, square_offs=_square_offs(found))
    if recovering:
        return KeyMeaning(meaning=Meaning.WAIT)
    similar = [order.order_id for order in without_tag if _fits_any(wanted, placed, order)]
    if similar:
        return KeyMeaning(meaning=Meaning.BLOCKED, reason=f"order {', '.join(similar)} has no tag and may be this one")
    if placed:
        return KeyMeaning(meaning=Meaning.BROKEN, orders=placed, square_offs=_square_offs(found))
    return KeyMeaning(meaning=Meaning.FREE)


def _is_another_request(wanted: Wanted, found: Sequence[FoundOrder]) -> bool:
    """Whether an order was found that no request of this shape places."""
    kind, purpose = ("leg" if wanted.is_batch else "order"), ("client" if wanted.replaces is None else "replace")
    return any(
        one.origin.account_id != wanted.account_id
        or one.origin.kind != kind
        or (wanted.total_orders is not None and one.origin.leg >= wanted.total_orders)
        or (one.origin.purpose in {"client", "replace"} and one.origin.purpose != purpose)
        for one in found
    )


def _of_differing(one: FoundOrder, match: Match, *, recovering: bool) -> KeyMeaning:
    """An order that differs: the book may still show slices of it while the account recovers."""
    if match is Match.INCOMPLETE and recovering:
        return KeyMeaning(meaning=Meaning.WAIT)
    ids = ", ".join(order.order_id for order in one.orders)
    reason = f"order {ids} is not what the request asks for"
    return KeyMeaning(meaning=Meaning.CONTRADICTED, reason=reason, task_id=one.task.task_id)


def _placed(found: Sequence[FoundOrder]) -> dict[int, FoundOrder]:
    """By leg its order: the request's own, or else the newest repetition of it by an operator."""
    ranked = sorted(
        (one for one in found if one.origin.purpose != "square_off"),
        key=lambda one: (one.origin.purpose != "requeue", one.origin.generation),
    )
    return {one.origin.leg: one for one in ranked}


def _square_offs(found: Sequence[FoundOrder]) -> list[FoundOrder]:
    return [one for one in found if one.origin.purpose == "square_off"]


def _compare_leg(wanted: Wanted, leg: int, orders: Sequence[KnownOrder]) -> Match:
    if wanted.closes is None:
        return compare(wanted.lines[leg].request, orders)
    return Match.SAME if all(_closes(wanted.closes, order) for order in orders) else Match.OTHER


def _closes(positions: PositionFilter, order: KnownOrder) -> bool:
    return positions.matches(order.exchange, order.tradingsymbol, str(order.document["product"]))


def _fits_any(wanted: Wanted, placed: Mapping[int, FoundOrder], order: KnownOrder) -> bool:
    if wanted.closes is not None:
        return _closes(wanted.closes, order)
    missing = (line for leg, line in enumerate(wanted.lines) if leg not in placed)
    return any(compare(line.request, [order]) is Match.SAME for line in missing)


class Match(StrEnum):
    """How the rows of an order compare with a request."""

    SAME = "same"  # equal, or different only by market protection or a modification
    OTHER = "other"  # another instrument, side or product
    INCOMPLETE = "incomplete"  # slices are missing, which the book may still show
    CONTRADICTS = "contradicts"  # anything else


def compare(request: OrderRequest, orders: Sequence[KnownOrder]) -> Match:
    """How these rows, the slices of one order, compare with the request."""
    first_legs = [order for order in orders if order.transaction_type == request.transaction_type]
    if not first_legs:
        return Match.OTHER
    for order in first_legs:
        named = (order.exchange, order.tradingsymbol)
        products = {request.product, "CO"} if request.variety == "co" else {request.product}
        if named != (request.exchange, request.tradingsymbol) or order.document["product"] not in products:
            return Match.OTHER
        if order.variety != request.variety or not _has_terms(request, order.document):
            return Match.CONTRADICTS
    if any(order.document.get("modified") for order in first_legs):
        return Match.SAME
    quantity = sum(int(order.document["quantity"]) for order in first_legs)
    if quantity == request.quantity:
        return Match.SAME
    return Match.INCOMPLETE if makes_several(request) and quantity < request.quantity else Match.CONTRADICTS


def _has_terms(request: OrderRequest, row: Mapping[str, Any]) -> bool:
    """Whether price and type of a row are those of the request, as the broker books them."""
    if row.get("modified"):
        return True
    protected = request.order_type in {OrderType.MARKET, OrderType.SL_M}  # booked at the edge of the price band
    prices = protected or Decimal(str(row.get("price") or 0)) == (request.price or Decimal(0))
    triggers = Decimal(str(row.get("trigger_price") or 0)) == (request.trigger_price or Decimal(0))
    return row["order_type"] in BOOKED_AS[request.order_type] and prices and triggers
