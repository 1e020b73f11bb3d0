"""An order that nobody wants any more: why, and since when. One loop cancels it, whatever it was that set the wish.

``cancel_on_sight`` stays for replicas of the release before, which read and set it; a trigger keeps both the same. The
orders for which such a replica has made cancels of its own, each with a policy of its own, become unwanted here, so
that a cancel that was refused is followed by another. Cancels of this release have the purpose ``unwanted``.
"""

from alembic import op

revision = "0016"
down_revision = "0019"

TASKS = """
ALTER TABLE order_task ADD COLUMN unwanted_since timestamptz;
ALTER TABLE order_task ADD COLUMN unwanted_why text;
ALTER TABLE order_task ADD CONSTRAINT order_task_unwanted_check
  CHECK ((unwanted_since IS NULL) = (unwanted_why IS NULL));
ALTER TABLE order_task DROP CONSTRAINT order_task_purpose_check;
ALTER TABLE order_task ADD CONSTRAINT order_task_purpose_check CHECK (purpose IN
  ('client', 'square_off', 'requeue', 'unwanted', 'replace', 'rollback', 'late', 'halt', 'withdrawal'));
CREATE INDEX order_task_unwanted ON order_task (account_id, trade_date) WHERE unwanted_since IS NOT NULL;
"""

ORDERS_OF_OTHERS = """
ALTER TABLE broker_order ADD COLUMN unwanted_since timestamptz;
CREATE INDEX broker_order_unwanted ON broker_order (account_id, trade_date) WHERE unwanted_since IS NOT NULL;
"""

ON_SIGHT = """
UPDATE order_task SET unwanted_since = updated_at, unwanted_why = 'withdrawal' WHERE cancel_on_sight;
"""

CANCELLED_BY_THE_SERVICE = """
CREATE TEMPORARY TABLE own_cancel ON COMMIT DROP AS
  SELECT c.account_id, c.target_order_id AS order_id, c.purpose, c.created_at, b.trade_date, b.task_id
  FROM order_task c JOIN broker_order b ON b.order_id = c.target_order_id AND b.account_id = c.account_id
    AND b.trade_date BETWEEN c.trade_date - 7 AND c.trade_date + 7
  WHERE c.operation = 'cancel' AND c.purpose IN ('rollback', 'late', 'halt', 'withdrawal')
  UNION ALL
  SELECT c.account_id, c.target_order_id, c.purpose, c.created_at, NULL, p.task_id
  FROM order_task c JOIN order_task p ON p.order_id = c.target_order_id AND p.account_id = c.account_id
    AND p.trade_date BETWEEN c.trade_date - 7 AND c.trade_date AND p.operation = 'place'
  WHERE c.operation = 'cancel' AND c.purpose IN ('rollback', 'late', 'halt', 'withdrawal');
UPDATE order_task p SET unwanted_since = c.created_at, unwanted_why = c.purpose, cancel_on_sight = true
  FROM (SELECT DISTINCT ON (task_id) task_id, purpose, created_at FROM own_cancel
        WHERE task_id IS NOT NULL ORDER BY task_id, created_at) c
  WHERE p.task_id = c.task_id AND p.unwanted_since IS NULL;
UPDATE broker_order b SET unwanted_since = c.created_at
  FROM own_cancel c
  WHERE c.task_id IS NULL AND b.account_id = c.account_id AND b.trade_date = c.trade_date AND b.order_id = c.order_id
    AND b.task_id IS NULL;
"""

BOTH_RELEASES = """
CREATE FUNCTION order_task_keep_unwanted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.cancel_on_sight AND NEW.unwanted_since IS NULL THEN
    NEW.unwanted_since := clock_timestamp();
    NEW.unwanted_why := 'withdrawal';
  END IF;
  NEW.cancel_on_sight := NEW.unwanted_since IS NOT NULL;
  RETURN NEW;
END $$;
CREATE TRIGGER order_task_keep_unwanted BEFORE UPDATE OF cancel_on_sight, unwanted_since ON order_task
  FOR EACH ROW EXECUTE FUNCTION order_task_keep_unwanted();
"""


def upgrade() -> None:
    op.execute(TASKS)
    op.execute(ORDERS_OF_OTHERS)
    op.execute(ON_SIGHT)
    op.execute(CANCELLED_BY_THE_SERVICE)
    op.execute(BOTH_RELEASES)
