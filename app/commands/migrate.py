"""``python -m app migrate``: bring the schema to this version of the code."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings
from app.db.migrate import applied_revision, head_revision, is_known, migrate
from app.db.server_check import check_server
from app.errors import StartError


def to_head(settings: Settings) -> str:
    """Migrate, and return what was done, as a sentence. Blocking.

    Raises StartError when the database cannot be reached, is not one that the service can use, or refuses it.
    """
    url = settings.database_dsn
    with ThreadPoolExecutor(max_workers=1) as pool:  # a thread of its own: the caller may have a running loop
        pool.submit(asyncio.run, check_server(url)).result()
    try:
        before = applied_revision(url)
        if before == head_revision():
            return f"the schema is at {before} already"
        if before is not None and not is_known(before):
            raise StartError(
                f"the schema is at {before}, which is newer than this release ({head_revision()}): nothing was changed"
            )
        migrate(url)
    except psycopg.OperationalError as error:
        raise StartError(f"DATABASE_URL: cannot connect to PostgreSQL: {_one_line(error)}") from error
    except (psycopg.Error, SQLAlchemyError, CommandError) as error:
        raise StartError(f"the migration was refused, nothing was changed: {_one_line(error)}") from error
    return f"the schema went from {before or 'nothing'} to {head_revision()}"


def _one_line(error: Exception) -> str:
    cause = error.__cause__ or error
    return " ".join(str(cause).split()) or type(cause).__name__
