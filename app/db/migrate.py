"""Bring the schema to its newest version. Alembic only runs what is written by hand under ``migrations/``."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def migrate(database_url: str, *, to: str = "head") -> None:
    """Upgrade to a revision; safe to run from several replicas at once (the migrations hold a lock). Blocking."""
    command.upgrade(_config(database_url), to)


def head_revision() -> str:
    """The newest revision that this code knows."""
    head = ScriptDirectory.from_config(_config("postgresql://unused")).get_current_head()
    if head is None:
        raise RuntimeError("migrations/versions holds no revision")
    return head


def applied_revision(database_url: str) -> str | None:
    """The revision that the database is at, or None when it was never migrated. Blocking."""
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        exists = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
        if exists is None or exists[0] is None:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return None if row is None else str(row[0])


def _config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["database_url"] = database_url
    return config
