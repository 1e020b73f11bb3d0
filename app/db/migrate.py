"""Bring the schema to its newest version. Alembic only runs what is written by hand under ``migrations/``."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.db.bounded_connection import BlockingBoundedConnection

_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


LOCK_S = 60
"""How long a migration waits for another job that migrates, or for a table: requests queue up behind such a wait."""


def migrate(database_url: str, *, to: str = "head", lock_s: int = LOCK_S) -> None:
    """Upgrade to a revision; safe to run from several replicas at once (the migrations hold a lock). Blocking.

    Raises SQLAlchemyError when the database cannot be reached, does not answer, or gives no lock within ``lock_s``.
    """
    config = _config(database_url)
    config.attributes["lock_s"] = lock_s
    command.upgrade(config, to)


def head_revision() -> str:
    """The newest revision that this code knows."""
    head = ScriptDirectory.from_config(_config("postgresql://unused")).get_current_head()
    if head is None:
        raise RuntimeError("migrations/versions holds no revision")
    return head


def is_known(revision: str) -> bool:
    """Whether this code has the migration; a newer release made one that it has not."""
    scripts = ScriptDirectory.from_config(_config("postgresql://unused"))
    return any(script.revision == revision for script in scripts.walk_revisions())


def applied_revision(database_url: str) -> str | None:
    """The revision that the database is at, or None when it was never migrated. Blocking."""
    with BlockingBoundedConnection.connect(database_url, connect_timeout=5) as connection:
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
