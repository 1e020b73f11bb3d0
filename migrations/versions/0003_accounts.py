"""The broker sessions of the accounts: access tokens, sealed."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
    CREATE TABLE broker_session (
      account_id    text PRIMARY KEY,
      user_id       text,
      access_token  bytea,
      key_version   smallint NOT NULL DEFAULT 1,
      login_time    timestamptz,
      supersedes    bytea,
      updated_at    timestamptz NOT NULL DEFAULT now(),
      CHECK (access_token IS NULL OR length(access_token) BETWEEN 29 AND 4096)
    );
    COMMENT ON COLUMN broker_session.access_token IS 'AES-256-GCM: nonce and ciphertext; NULL after a log-out';
    COMMENT ON COLUMN broker_session.supersedes IS
      'SHA-256 of the token of the settings at that time: the same one is older than this row, another one is newer';
    """)
