"""Orders, their events, and what guards them."""

from alembic import op

revision = "0001"
down_revision = None

TASKS = """
CREATE TABLE deployment (
  code       text PRIMARY KEY CHECK (code ~ '^[0-9A-HJKMNP-TV-Z]{2}$'),
  only_row   boolean NOT NULL DEFAULT true UNIQUE CHECK (only_row),
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE batch (
  batch_id            uuid PRIMARY KEY,
  account_id          text NOT NULL,
  status              text NOT NULL,
  rollback_on_failure boolean NOT NULL,
  on_filled           text NOT NULL,
  total_orders        smallint NOT NULL,
  error               jsonb,
  deadline_at         timestamptz NOT NULL,
  created_at          timestamptz NOT NULL DEFAULT now(),
  updated_at          timestamptz NOT NULL DEFAULT now(),
  completed_at        timestamptz
);
CREATE INDEX batch_open ON batch (account_id) WHERE completed_at IS NULL;
CREATE INDEX batch_by_account ON batch (account_id, batch_id DESC);

CREATE TABLE order_task (
  task_id         uuid PRIMARY KEY,
  account_id      text NOT NULL,
  operation       text NOT NULL CHECK (operation IN ('place', 'modify', 'cancel')),
  status          text NOT NULL,
  batch_id        uuid REFERENCES batch,
  leg             smallint,
  wave            smallint NOT NULL DEFAULT 0,
  purpose         text NOT NULL DEFAULT 'client' CHECK (purpose IN ('client', 'rollback', 'square_off', 'late')),
  trade_date      date NOT NULL,
  instrument      text NOT NULL,
  request         jsonb NOT NULL,
  user_tag        text,
  tag_base        text UNIQUE,
  target_order_id text,
  priority        smallint NOT NULL,
  attempts        smallint NOT NULL DEFAULT 0,
  sent            text NOT NULL DEFAULT 'no' CHECK (sent IN ('no', 'unknown', 'yes')),
  send_by         timestamptz NOT NULL,
  not_before      timestamptz NOT NULL DEFAULT now(),
  fence           bigint NOT NULL DEFAULT 0,
  claimed_by      text,
  claimed_until   timestamptz,
  last_sent_at    timestamptz,
  clean_reads     smallint NOT NULL DEFAULT 0,
  next_check_at   timestamptz,
  order_id        text,
  children        jsonb NOT NULL DEFAULT '[]',
  last_error      jsonb,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  finished_at     timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200);
CREATE INDEX order_task_ready ON order_task (account_id, priority, created_at, leg)
  WHERE status IN ('pending', 'retrying');
CREATE INDEX order_task_open ON order_task (account_id, status)
  WHERE status IN ('pending', 'held', 'running', 'retrying', 'in_doubt');
CREATE INDEX order_task_by_batch ON order_task (batch_id, leg) WHERE batch_id IS NOT NULL;
CREATE INDEX order_task_by_order ON order_task (account_id, order_id) WHERE order_id IS NOT NULL;
CREATE INDEX order_task_by_target ON order_task (account_id, target_order_id) WHERE target_order_id IS NOT NULL;
CREATE INDEX order_task_by_account ON order_task (account_id, task_id DESC);

CREATE TABLE order_attempt (
  task_id     uuid NOT NULL REFERENCES order_task,
  attempt     smallint NOT NULL,
  tag         text UNIQUE,
  fence       bigint NOT NULL,
  started_at  timestamptz NOT NULL DEFAULT now(),
  outcome     text,
  order_id    text,
  http_status int,
  error_type  text,
  message     text,
  finished_at timestamptz,
  PRIMARY KEY (task_id, attempt)
);

CREATE TABLE idempotency_key (
  principal   text NOT NULL,
  idem_key    text NOT NULL,
  fingerprint bytea NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('task', 'batch')),
  resource_id uuid NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (principal, idem_key)
);
"""

BROKER_SIDE = """
CREATE TABLE broker_order (
  account_id      text NOT NULL,
  trade_date      date NOT NULL,
  order_id        text NOT NULL,
  task_id         uuid REFERENCES order_task,
  status          text NOT NULL,
  state           text NOT NULL,
  filled_quantity int NOT NULL,
  average_price   numeric NOT NULL,
  tag             text,
  content_hash    bytea NOT NULL,
  document        jsonb NOT NULL,
  first_seen_at   timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (account_id, trade_date, order_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200);
CREATE INDEX broker_order_by_task ON broker_order (task_id) WHERE task_id IS NOT NULL;

CREATE TABLE fill (
  account_id    text NOT NULL,
  trade_date    date NOT NULL,
  trade_id      text NOT NULL,
  order_id      text NOT NULL,
  quantity      int NOT NULL,
  average_price numeric NOT NULL,
  document      jsonb NOT NULL,
  first_seen_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (account_id, trade_date, trade_id)
);
CREATE INDEX fill_by_order ON fill (account_id, trade_date, order_id);

CREATE TABLE order_alarm (
  alarm_id   uuid PRIMARY KEY,
  account_id text NOT NULL,
  kind       text NOT NULL,
  subject    text NOT NULL,
  data       jsonb NOT NULL,
  raised_at  timestamptz NOT NULL DEFAULT now(),
  UNIQUE (account_id, kind, subject)
);
"""

EVENTS = """
CREATE TABLE account_seq (
  account_id text PRIMARY KEY,
  epoch      text NOT NULL,
  seq        bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE event (
  account_id  text NOT NULL,
  seq         bigint NOT NULL,
  type        text NOT NULL,
  data        jsonb NOT NULL,
  occurred_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (account_id, seq)
);
"""


def upgrade() -> None:
    op.execute(TASKS)
    op.execute(BROKER_SIDE)
    op.execute(EVENTS)
