"""Stored labels of a closed list: the outcome of an attempt was the name of a class, an alarm kind was no plain word.

There is no CHECK on ``order_attempt.outcome``: a sender of the release before must still be able to store its answer.
Every question about outcomes reads an unknown label as the unsafe one (the request may have left).
"""

from alembic import op

revision = "0013"
down_revision = "0012"

OUTCOMES = """
UPDATE order_attempt SET outcome = CASE outcome
    WHEN 'Accepted' THEN 'accepted' WHEN 'Refused' THEN 'refused' WHEN 'NotSent' THEN 'not_sent'
    WHEN 'SessionRejected' THEN 'session_rejected' WHEN 'Throttled' THEN 'throttled' WHEN 'InDoubt' THEN 'in_doubt'
    ELSE outcome END
  WHERE outcome IN ('Accepted', 'Refused', 'NotSent', 'SessionRejected', 'Throttled', 'InDoubt');
"""

ALARMS = "UPDATE order_alarm SET kind = 'fills_missing' WHERE kind = 'fills_untold';"


def upgrade() -> None:
    op.execute(OUTCOMES)
    op.execute(ALARMS)
