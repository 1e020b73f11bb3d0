"""Migrations carry the data of the release before, not only its schema."""

import psycopg
import pytest

from app.broker.outcomes import Accepted, InDoubt, NotSent, Refused, SendOutcome, SessionRejected, Throttled
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
    assert [label_of(outcome) for outcome in OUTCOMES] == list(AttemptOutcome)


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
