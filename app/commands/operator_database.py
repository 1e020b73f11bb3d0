"""What the commands of an operator share: the database, who the operator is, and no running sender to wake."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from psycopg import ProgrammingError

from app.config import Settings
from app.db.postgres import Database, open_database
from app.errors import StartError
from app.orders.state.audit import Actor


def wake_none(account_id: str) -> None:
    """Does nothing: the senders of the running service read the database by themselves."""


def current_operator(*, login_name: Callable[[], str] = getpass.getuser) -> Actor:
    """The user who is logged in on this machine, or the number of a user without a name, as in a container."""
    try:
        name = login_name()
    except (KeyError, OSError):
        name = f"uid-{os.getuid()}"
    return Actor(principal=f"cli:{name}")


@asynccontextmanager
async def open_operator_database(settings: Settings) -> AsyncIterator[Database]:
    """One connection. Raises StartError when the database cannot be reached or lacks this version's schema."""
    database = await open_database(settings.database_dsn, name="operator", min_size=1, max_size=1)
    try:
        yield database
    except ProgrammingError as error:  # a table or a column is not there
        raise StartError("DATABASE_URL: the schema is not at this version: python -m app migrate") from error
    finally:
        await database.close()
