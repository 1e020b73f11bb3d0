"""Risk limits, what an operator cancels or sends again, and a trail that nobody can rewrite."""

from alembic import op

revision = "0005"
down_revision = "0004"

LIMITS = """
CREATE TABLE account_risk (
  account_id text PRIMARY KEY
) WITH (fillfactor = 50);
COMMENT ON TABLE account_risk IS 'locked by whoever counts an account''s orders against its limits';
"""

TASKS = """
ALTER TABLE order_task ADD COLUMN supersedes uuid REFERENCES order_task;
CREATE UNIQUE INDEX order_task_supersedes ON order_task (supersedes) WHERE supersedes IS NOT NULL;
ALTER TABLE order_task DROP CONSTRAINT order_task_purpose_check;
ALTER TABLE order_task ADD CONSTRAINT order_task_purpose_check
  CHECK (purpose IN ('client', 'rollback', 'square_off', 'late', 'halt', 'requeue'));
"""

AUDIT = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON admin_audit
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    op.execute(LIMITS)
    op.execute(TASKS)
    op.execute(AUDIT)
