"""What a replica says of an account from the owner's answer, its age, and whether the database answers."""

from datetime import UTC, datetime

from app.orders.state.trading_reasons import ConfirmedStatus, Reason, TradingStatus
from app.orders.views.trading_statuses import LastRead, Stall, shown_status

MONDAY = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
EARLIER = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def _row(*reasons: Reason, age_s: float = 0.2) -> ConfirmedStatus:
    status = TradingStatus(
        account_id="primary", reasons=reasons, detail={reason.value: "why" for reason in reasons}, since=EARLIER
    )
    return ConfirmedStatus(status=status, written_at=MONDAY, age_s=age_s)


def _shown(row: ConfirmedStatus | None, *, read_s_ago: float = 0.0, stall: Stall | None = None) -> TradingStatus:
    last = LastRead(rows={} if row is None else {"primary": row}, at_s=100.0)
    return shown_status("primary", last=last, stall=stall, now_s=100.0 + read_s_ago)


def test_a_fresh_answer_of_the_owner_is_shown_as_it_is() -> None:
    """With its reasons, its sentences and its time."""
    row = _row(Reason.NO_SESSION, Reason.HALTED)
    assert _shown(row) == row.status
    assert _shown(_row()).can_trade


def test_an_answer_older_than_five_seconds_is_void() -> None:
    """By the database's clock at the read, and by this process's counter since then."""
    assert _shown(_row(age_s=4.9)).can_trade
    for old in (_shown(_row(age_s=5.1)), _shown(_row(age_s=3.2), read_s_ago=1.9)):
        assert (old.reasons, old.since) == ((Reason.NO_SENDER,), MONDAY)
        assert old.detail["no_sender"]


def test_an_account_that_could_not_trade_before_its_owner_left_has_the_older_time() -> None:
    """It has not been able to trade since then."""
    assert _shown(_row(Reason.HALTED, age_s=9.0)).since == EARLIER


def test_an_account_that_never_had_an_owner_has_no_sender() -> None:
    """A database that was just made."""
    shown = _shown(None)
    assert (shown.can_trade, shown.reasons, shown.since) == (False, (Reason.NO_SENDER,), None)


def test_a_database_that_does_not_answer_this_replica_is_the_only_reason() -> None:
    """What the owner wrote cannot be known to hold still; shown until five seconds after the database's return."""
    stall = Stall(began_at=MONDAY, seen_at_s=99.0)
    shown = _shown(_row(Reason.HALTED), stall=stall)
    assert (shown.reasons, shown.since) == ((Reason.DATABASE_STALLED,), MONDAY)
    assert _shown(_row(), stall=stall, read_s_ago=3.9).reasons == (Reason.DATABASE_STALLED,)
    assert _shown(_row(), stall=stall, read_s_ago=4.0).can_trade
