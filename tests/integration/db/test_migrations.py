"""Migrations carry the data of the release before, not only its schema."""

import os
import signal
import time
from uuid import UUID

import psycopg
import pytest
from sqlalchemy.exc import SQLAlchemyError

from app.broker.outcomes import Accepted, InDoubt, NotSent, Refused, SendOutcome, SessionRejected, Throttled
from app.db.bounded_connection import ANSWER_S, BlockingBoundedConnection
from app.db.migrate import applied_revision, head_revision, migrate
from app.orders.state.alarms import Alarm
from app.orders.state.attempt_outcomes import AttemptOutcome, label_of

OUTCOMES: tuple[SendOutcome, ...] = (
    Accepted(order_id="1"),
    Refused(error_type="InputException", message="no", http_status=400),
    NotSent(reason="refused"),
    SessionRejected(message="expired"),
    Throttled(message="slow down"),
    InDoubt(reason="no answer"),
)

TASK = """
INSERT INTO order_task (task_id, account_id, operation, status, purpose, trade_date, instrument, request, tag_base,
  priority, send_by)
VALUES ('00000000-0000-0000-0000-000000000001', 'primary', 'place', 'in_doubt', 'client', '2026-07-06', 'NSE:INFY',
  '{}', 'SV0123456789ABCDEFG', 2, now())
"""


@pytest.fixture
def before_labels(empty_database_url: str) -> str:
    """A database of the release before labels were explicit."""
    migrate(empty_database_url, to="0012")
    return empty_database_url


def test_outcomes_stored_as_class_names_become_labels(before_labels: str) -> None:
    """One attempt of each outcome, one that nothing is known of, and one of a name that no release ever wrote."""
    names = [type(outcome).__name__ for outcome in OUTCOMES]
    with psycopg.connect(before_labels) as connection:
        connection.execute(TASK)
        for attempt, name in enumerate([*names, None, "Odd"], start=1):
            connection.execute(
                """INSERT INTO order_attempt (task_id, attempt, fence, outcome)
                   SELECT task_id, %s, %s, %s FROM order_task""",
                (attempt, attempt, name),
            )
    migrate(before_labels)
    with psycopg.connect(before_labels) as connection:
        rows = connection.execute("SELECT outcome FROM order_attempt ORDER BY attempt").fetchall()
    assert [row[0] for row in rows] == [*(str(label_of(outcome)) for outcome in OUTCOMES), None, "Odd"]


def test_each_outcome_has_its_own_label() -> None:
    """The list is closed in both directions."""
    of_the_address = Refused(error_type="PermissionException", message="IP", http_status=403, address_refused=True)
    assert [label_of(outcome) for outcome in (*OUTCOMES, of_the_address)] == list(AttemptOutcome)


def test_alarms_keep_their_subjects_under_their_new_kind(before_labels: str) -> None:
    """An alarm that was raised before is not raised again under the other name."""
    with psycopg.connect(before_labels) as connection:
        connection.execute(
            """INSERT INTO order_alarm (alarm_id, account_id, kind, subject, data)
               VALUES ('00000000-0000-0000-0000-000000000002', 'primary', 'fills_untold', '2026-07-06', '{}')"""
        )
    migrate(before_labels)
    assert applied_revision(before_labels) == head_revision()
    with psycopg.connect(before_labels) as connection:
        row = connection.execute("SELECT account_id, kind, subject FROM order_alarm").fetchone()
    assert row == ("primary", str(Alarm.FILLS_MISSING), "2026-07-06")


@pytest.fixture
def before_wishes(empty_database_url: str) -> str:
    """A database of the release before an unwanted order had a reason."""
    migrate(empty_database_url, to="0019")
    return empty_database_url


PLACEMENT = """
INSERT INTO order_task (task_id, account_id, operation, status, purpose, trade_date, instrument, request, tag_base,
  priority, send_by, order_id, cancel_on_sight)
VALUES (%s, 'primary', 'place', %s, 'client', '2026-07-06', 'NSE:INFY', '{}', %s, 2, now(), %s, %s)
"""
CANCEL = """
INSERT INTO order_task (task_id, account_id, operation, status, purpose, trade_date, instrument, request, priority,
  send_by, target_order_id)
VALUES (gen_random_uuid(), 'primary', 'cancel', 'failed', %s, '2026-07-06', 'NSE:INFY', '{}', 0, now(), %s)
"""
ORDER = """
INSERT INTO broker_order (account_id, trade_date, order_id, task_id, status, state, filled_quantity, average_price,
  content_hash, document)
VALUES ('primary', '2026-07-06', %s, %s, 'OPEN', 'open', 0, 0, '', '{}')
"""


def ids(*numbers: int) -> list[UUID]:
    return [UUID(int=number) for number in numbers]


def test_what_the_release_before_cancelled_is_unwanted_from_now_on(before_wishes: str) -> None:
    """A withdrawn placement, one order of each of its own cancels, one that the book has not shown, another's order."""
    withdrawn, rolled_back, late, halted, unseen, wanted = ids(1, 2, 3, 4, 5, 6)
    with psycopg.connect(before_wishes) as connection:
        connection.execute(PLACEMENT, (withdrawn, "in_doubt", "T1", None, True))
        for task_id, purpose in ((rolled_back, "rollback"), (late, "late"), (halted, "halt"), (wanted, "client")):
            order_id = f"order-{purpose}"
            connection.execute(PLACEMENT, (task_id, "completed", f"T-{purpose}", order_id, False))
            connection.execute(ORDER, (order_id, task_id))
            connection.execute(CANCEL, (purpose, order_id))
        connection.execute(PLACEMENT, (unseen, "completed", "T5", "order-unseen", False))
        connection.execute(CANCEL, ("withdrawal", "order-unseen"))
        connection.execute(ORDER, ("order-of-another", None))
        connection.execute(CANCEL, ("halt", "order-of-another"))
    migrate(before_wishes)
    with psycopg.connect(before_wishes) as connection:
        rows = connection.execute(
            """SELECT task_id, unwanted_why, unwanted_since IS NOT NULL, cancel_on_sight FROM order_task
               WHERE operation = 'place' ORDER BY task_id"""
        ).fetchall()
        others = connection.execute(
            "SELECT order_id FROM broker_order WHERE unwanted_since IS NOT NULL ORDER BY order_id"
        ).fetchall()
    assert rows == [
        (withdrawn, "withdrawal", True, True),
        (rolled_back, "rollback", True, True),
        (late, "late", True, True),
        (halted, "halt", True, True),
        (unseen, "withdrawal", True, True),
        (wanted, None, False, False),
    ]
    assert others == [("order-of-another",)]


def test_a_wish_of_either_release_is_one_of_both(before_wishes: str) -> None:
    """While replicas of both run: each reads its own column, and each cancels for the other."""
    old, new = ids(1, 2)
    migrate(before_wishes)
    with psycopg.connect(before_wishes) as connection:
        connection.execute(PLACEMENT, (old, "running", "T1", None, False))
        connection.execute(PLACEMENT, (new, "running", "T2", None, False))
        connection.execute("UPDATE order_task SET cancel_on_sight = true WHERE task_id = %s", (old,))
        connection.execute(
            "UPDATE order_task SET unwanted_since = now(), unwanted_why = 'halt' WHERE task_id = %s", (new,)
        )
        rows = connection.execute(
            "SELECT unwanted_why, unwanted_since IS NOT NULL, cancel_on_sight FROM order_task ORDER BY task_id"
        ).fetchall()
        connection.execute(CANCEL, ("rollback", "7"))  # of a replica of the release before
    assert rows == [("withdrawal", True, True), ("halt", True, True)]


def test_a_migration_waits_for_another_one_within_a_bound(empty_database_url: str) -> None:
    """A job that stands still with the lock ends the wait with an error, and nothing is changed."""
    with psycopg.connect(empty_database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(7243119004)")
        begun_at = time.monotonic()
        with pytest.raises(SQLAlchemyError, match="lock timeout"):
            migrate(empty_database_url, lock_s=1)
        assert time.monotonic() - begun_at < 5.0
    assert applied_revision(empty_database_url) is None


def test_a_migration_beside_a_stopped_server_ends(empty_database_url: str) -> None:
    """The question for the present revision has a bound of its own: the process is stopped before it answers."""
    with BlockingBoundedConnection.connect(empty_database_url) as connection:
        pid = connection.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            begun_at = time.monotonic()
            with pytest.raises(psycopg.OperationalError, match="did not answer"):
                connection.execute("SELECT version_num FROM alembic_version")
            assert time.monotonic() - begun_at < ANSWER_S + 2.0
        finally:
            os.kill(pid, signal.SIGCONT)
