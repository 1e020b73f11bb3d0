"""``python -m app kill``: the kill switch from the command line, on the database alone, for when the API is down."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from psycopg import ProgrammingError

from app.accounts.roster import load_accounts
from app.composition.parts import AccountLog
from app.config import Settings
from app.db.postgres import Database, open_database
from app.errors import NotFound, StartError
from app.kit.clock import SystemClock
from app.kit.ids import IdSource
from app.orders.operators.halt_and_resume import CancelOpen, HaltService
from app.orders.risk.halts import HaltMode
from app.orders.state.audit import Actor
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.new_tasks import TaskFactory
from app.orders.state.tag_store import deployment_code
from app.orders.state.tags import DEPLOYMENT_LENGTH, Tagger


def nobody_to_wake(account_id: str) -> None:
    """Senders look at the database by themselves."""


def operator(*, login_name: Callable[[], str] = getpass.getuser) -> Actor:
    """Whoever is logged in on this machine; a container may run under a number that has no name."""
    try:
        name = login_name()
    except (KeyError, OSError):
        name = f"uid-{os.getuid()}"
    return Actor(principal=f"cli:{name}")


@asynccontextmanager
async def operators_database(settings: Settings) -> AsyncIterator[Database]:
    """Raises StartError when the database cannot be reached, or is not one of this service."""
    database = await open_database(settings.database_dsn, name="operator", min_size=1, max_size=1)
    try:
        yield database
    except ProgrammingError as error:  # a table or a column is not there
        raise StartError("DATABASE_URL: the schema is not at this version: python -m app migrate") from error
    finally:
        await database.close()


@asynccontextmanager
async def open_operations(settings: Settings) -> AsyncIterator[HaltService]:
    """Raises StartError."""
    clock = SystemClock()
    ids = IdSource(clock)
    async with operators_database(settings) as database:
        async with database.transaction() as tx:
            deployment = await deployment_code(tx, fresh=ids.code(DEPLOYMENT_LENGTH))
        yield HaltService(
            database=database,
            events=AccountLog(ids),
            tasks=TaskFactory(
                settings=EngineSettings.from_settings(settings),
                clock=clock,
                ids=ids,
                tagger=Tagger(ids, deployment=deployment),
            ),
            clock=clock,
            ids=ids,
            wake=nobody_to_wake,
        )


async def halt(
    settings: Settings, *, account_id: str | None, mode: HaltMode, open_orders: CancelOpen, reason: str
) -> list[str]:
    """Halt, and say in lines what was done. Raises NotFound: a misspelt account must not be said to be halted."""
    if account_id is not None and account_id not in load_accounts(settings):
        raise NotFound("account", account_id)
    async with open_operations(settings) as operations:
        done = await operations.halt(account_id, mode=mode, open_orders=open_orders, reason=reason, by=operator())
    lines = [f"{mode} is in force for {account_id or 'all accounts'}"]
    lines += [f"{account}: cancelling {', '.join(ids)}" for account, ids in done.cancelled.items()]
    lines += [
        f"{account}: {count} placements had no answer yet; if they become orders, cancel again"
        for account, count in done.unanswered.items()
    ]
    return lines


async def resume(settings: Settings, *, account_id: str | None, reason: str) -> list[str]:
    """Lift the halt, and say in lines what stays in force."""
    async with open_operations(settings) as operations:
        lifted = await operations.resume(account_id, reason=reason, by=operator())
        left = await operations.halts()
    what = account_id or "all accounts"
    lines = [f"the halt of {what} is lifted" if lifted else f"there was no halt of {what}"]
    lines += [f"still in force: {halt.mode} of {_scope(halt.scope)}: {halt.reason}" for halt in left]
    return lines


def _scope(scope: str) -> str:
    return "all accounts" if scope == "*" else scope
