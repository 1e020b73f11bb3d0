"""Would an order placed now reach the broker? Which facts give which reason, in which order, and for how long."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.hysteresis import LOWERED_AFTER_S
from app.orders.engine.trading_status import TradingDecision, TradingFacts, decide_trading_status
from app.orders.risk.halts import Halt, HaltMode
from app.orders.state.trading_reasons import Reason


def _halt(mode: HaltMode) -> Halt:
    return Halt(scope="*", mode=mode, reason="feed looks wrong", set_by="ops", set_at=datetime(2026, 3, 2, tzinfo=UTC))


BAD: dict[str, tuple[Any, Reason]] = {
    "database_answers": (False, Reason.DATABASE_STALLED),
    "recovering": ("orders of today are adopted", Reason.RECOVERING),
    "has_session": (False, Reason.NO_SESSION),
    "address_refused": ("10.0.0.1 is not registered", Reason.ADDRESS_REFUSED),
    "halt": (_halt("halt"), Reason.HALTED),
    "too_much_in_doubt": (True, Reason.TOO_MUCH_IN_DOUBT),
    "book_unreadable": ("row 3 has no order_id", Reason.BOOK_UNREADABLE),
    "placements_fail": (True, Reason.BREAKER_OPEN),
    "placements_unanswered": (True, Reason.BREAKER_OPEN),
    "day_is_used_up": (True, Reason.DAY_LIMIT_REACHED),
}
"""For each fact the value that keeps orders from the broker, and the reason that it gives."""

CONTRACT = [
    "database_stalled", "recovering", "no_sender", "no_session", "address_refused", "halted", "reduce_only",
    "too_much_in_doubt", "book_unreadable", "breaker_open", "day_limit_reached",
]  # fmt: skip


def _of(facts: TradingFacts, *, before: TradingDecision | None = None, now: float = 100.0) -> TradingDecision:
    return decide_trading_status(facts, before=before or TradingDecision(), now=now)


def test_without_a_bad_fact_the_account_can_trade() -> None:
    """No reason, no sentence."""
    assert (_of(TradingFacts()).reasons, _of(TradingFacts()).detail) == ([], {})


def test_every_fact_has_its_reason() -> None:
    """A fact that is added to the facts must give one."""
    assert set(BAD) == {one.name for one in fields(TradingFacts)}


@pytest.mark.parametrize("fact", BAD)
def test_one_bad_fact_gives_its_reason_alone(fact: str) -> None:
    """With a sentence for the operator."""
    value, reason = BAD[fact]
    status = _of(TradingFacts(**{fact: value}))
    assert status.reasons == [reason]
    assert status.detail[reason]


def test_reduce_only_is_no_halt() -> None:
    """The two modes of the kill switch are two reasons; the sentence has the operator's words."""
    status = _of(TradingFacts(halt=_halt("reduce_only")))
    assert status.reasons == [Reason.REDUCE_ONLY]
    assert status.detail == {"reduce_only": "reduce_only by ops: feed looks wrong"}


def test_the_order_of_the_reasons_is_that_of_the_contract() -> None:
    """Clients show the first one."""
    assert [reason.value for reason in Reason] == CONTRACT


@given(st.sets(st.sampled_from(sorted(BAD))))
def test_reasons_are_those_of_the_bad_facts_in_their_order(bad: set[str]) -> None:
    """Whatever holds together; two facts may give one reason."""
    status = _of(TradingFacts(**{fact: BAD[fact][0] for fact in bad}))
    assert status.reasons == sorted({BAD[fact][1] for fact in bad}, key=list(Reason).index)
    assert set(status.detail) == set(status.reasons)


@given(gone_for=st.floats(min_value=0, max_value=20), fact=st.sampled_from(sorted(BAD)))
def test_a_reason_is_lowered_five_seconds_after_it_was_last_seen(gone_for: float, fact: str) -> None:
    """Raised at once; what comes and goes is shown all the time."""
    value, reason = BAD[fact]
    seen = _of(TradingFacts(**{fact: value}), now=50.0)
    shown = _of(TradingFacts(), before=seen, now=50.0 + gone_for).reasons
    assert shown == ([reason] if gone_for < LOWERED_AFTER_S else [])


def test_a_reason_that_is_seen_again_begins_its_time_anew() -> None:
    """A breaker that opens every four seconds is never called closed, and its sentence is the newest."""
    first = _of(TradingFacts(book_unreadable="row 3"), now=0.0)
    again = _of(TradingFacts(book_unreadable="row 7"), before=first, now=4.0)
    quiet = _of(TradingFacts(), before=again, now=8.0)
    assert (quiet.reasons, quiet.detail["book_unreadable"]) == ([Reason.BOOK_UNREADABLE], "row 7")
    assert _of(TradingFacts(), before=quiet, now=9.0).reasons == []
