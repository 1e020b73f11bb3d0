"""Instruments and subscriptions."""

from alembic import op

revision = "0002"
down_revision = "0001"

INSTRUMENTS = """
CREATE TABLE instrument (
  exchange         text NOT NULL,
  tradingsymbol    text NOT NULL,
  instrument_token bigint NOT NULL,
  exchange_token   bigint NOT NULL,
  name             text NOT NULL,
  expiry           date,
  strike           numeric NOT NULL,
  tick_size        numeric NOT NULL,
  lot_size         int NOT NULL,
  instrument_type  text NOT NULL,
  segment          text NOT NULL,
  expired_at       timestamptz,
  PRIMARY KEY (exchange, tradingsymbol)
);
CREATE INDEX instrument_by_token ON instrument (instrument_token);

CREATE TABLE instrument_refresh (
  only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  refreshed_at timestamptz NOT NULL,
  instruments  int NOT NULL
);
"""

SUBSCRIPTIONS = """
CREATE TABLE subscription (
  owner            text NOT NULL,
  account_id       text NOT NULL,
  exchange         text NOT NULL,
  tradingsymbol    text NOT NULL,
  instrument_token bigint NOT NULL,
  requested_mode   text NOT NULL CHECK (requested_mode IN ('ltp', 'quote', 'full')),
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (owner, account_id, exchange, tradingsymbol)
);
CREATE INDEX subscription_by_instrument ON subscription (exchange, tradingsymbol);

CREATE TABLE subscription_version (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version  bigint NOT NULL
);
INSERT INTO subscription_version (version) VALUES (0);
"""


def upgrade() -> None:
    op.execute(INSTRUMENTS)
    op.execute(SUBSCRIPTIONS)
