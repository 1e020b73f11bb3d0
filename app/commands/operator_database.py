"""What the commands of an operator share: the database, who the operator is, and no running sender to wake."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from psycopg import ProgrammingError

from app.composition.event_writer import AccountEventWriter
from app.composition.orders import Operators, build_operators, build_order_parts
from app.config import Settings
from app.db.postgres import open_database
from app.errors import StartError, Unavailable
from app.kit.clock import SystemClock
from app.kit.ids import IdSource
from app.orders.state.audit import Actor
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.tags import TagSecrets


class NoSenders:
    """In the process of a command there is no sender; those of the service read the database by themselves."""

    def changed(self, account_id: str) -> None:
        """Does nothing."""


def current_operator(*, login_name: Callable[[], str] = getpass.getuser) -> Actor:
    """The user who is logged in on this machine, or the number of a user without a name, as in a container."""
    try:
        name = login_name()
    except (KeyError, OSError):
        name = f"uid-{os.getuid()}"
    return Actor(principal=f"cli:{name}")


@asynccontextmanager
async def open_operators(settings: Settings) -> AsyncIterator[Operators]:
    """What an operator can do, on one connection to the database.

    Raises StartError when the database cannot be reached or lacks this version's schema.
    """
    clock = SystemClock()
    ids = IdSource(clock)
    database = await open_database(settings.database_dsn, name="operator", min_size=1, max_size=1)
    try:
        parts = await build_order_parts(
            database,
            events=AccountEventWriter(ids),
            settings=EngineSettings.from_settings(settings),
            clock=clock,
            ids=ids,
            secrets=TagSecrets.from_settings(settings),
        )
        yield build_operators(parts, listener=NoSenders())
    except (ProgrammingError, Unavailable) as error:  # a table or a column is not there
        if isinstance(error, Unavailable) and not isinstance(error.__cause__, ProgrammingError):
            raise
        raise StartError("DATABASE_URL: the schema is not at this version: python -m app migrate") from error
    finally:
        await database.close()
