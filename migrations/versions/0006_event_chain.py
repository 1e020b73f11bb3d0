"""Each event carries a hash over itself and the one before: a row that was changed, lost or put in later is found."""

from alembic import op

revision = "0006"
down_revision = "0005"

CHAIN = r"""
ALTER TABLE event ADD COLUMN hash bytea;
COMMENT ON COLUMN event.hash IS 'event_hash over the hash before and this row; NULL from before there were hashes';

CREATE FUNCTION event_hash(
  previous bytea, account_id text, seq bigint, type text, data jsonb, occurred_at timestamptz
) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT sha256(coalesce(previous, '') || convert_to(
    concat_ws(E'\n', account_id, seq, type, extract(epoch FROM occurred_at), data::text), 'UTF8'))
$$;
"""


def upgrade() -> None:
    op.execute(CHAIN)
