"""Webhooks: endpoints of clients, and a delivery to each of them for each event that it wants."""

from alembic import op

revision = "0034"
down_revision = "0030"

WEBHOOKS = """
CREATE TABLE webhook (
  webhook_id  uuid PRIMARY KEY,
  account_id  text NOT NULL,
  url         text NOT NULL,
  events      text[] NOT NULL,         -- types; empty: all
  tags        text[] NOT NULL,         -- of orders; empty: all
  ordered     boolean NOT NULL,        -- one at a time, in the order of the log
  max_age_s   double precision,        -- older news are replaced by one events_gap
  description text NOT NULL,
  status      text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'disabled')),
  secret              bytea NOT NULL,  -- sealed with TOKEN_KEY
  key_version         integer NOT NULL,
  old_secret          bytea,           -- signs too, until old_secret_until
  old_key_version     integer,
  old_secret_until    timestamptz,
  failures            integer NOT NULL DEFAULT 0,  -- attempts since the last one that succeeded
  failing_since       timestamptz,
  retry_at            timestamptz,     -- it rests until then
  created_at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX webhook_account ON webhook (account_id);

CREATE TABLE webhook_delivery (
  delivery_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),  -- the receiver's webhook-id is made of it
  webhook_id  uuid NOT NULL,           -- no foreign key: it would be checked for each row of each order's event
  account_id  text NOT NULL,
  seq         bigint NOT NULL,         -- of the event; of what is no event (data is set) its place among them
  type        text NOT NULL,
  data        jsonb,                   -- NULL: that of the event
  status      text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'given_up')),
  due_at      timestamptz NOT NULL,    -- while a process tries it: when another one may
  fence       integer NOT NULL DEFAULT 0,  -- rises with each claim
  failures    integer NOT NULL DEFAULT 0,
  replayed    boolean NOT NULL DEFAULT false,
  attempts    jsonb NOT NULL DEFAULT '[]',
  created_at  timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX webhook_delivery_log ON webhook_delivery (webhook_id, seq);
CREATE INDEX webhook_delivery_pending ON webhook_delivery (webhook_id, seq) WHERE status = 'pending';
CREATE INDEX webhook_delivery_age ON webhook_delivery USING brin (created_at);
"""

WANTS = """
CREATE FUNCTION webhook_wants(events text[], tags text[], type text, data jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (events = '{}' OR type = ANY (events)) AND (tags = '{}' OR data->>'tag' = ANY (tags) OR NOT data ? 'tag')
$$;
COMMENT ON FUNCTION webhook_wants IS 'tags filter events about one order; batches and feeds have none and always pass';
"""


def upgrade() -> None:
    op.execute(WEBHOOKS)
    op.execute(WANTS)
