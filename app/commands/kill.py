"""``python -m app kill``: the kill switch from the command line. It needs the database only, not a running service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.accounts.roster import load_accounts
from app.commands.operator_database import current_operator, open_operator_database, wake_none
from app.composition.parts import AccountLog
from app.config import Settings
from app.errors import NotFound
from app.kit.clock import SystemClock
from app.kit.ids import IdSource
from app.orders.operators.halt_and_resume import CancelOpen, HaltService
from app.orders.risk.halts import HaltMode
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.new_tasks import TaskFactory
from app.orders.state.tag_store import deployment_code
from app.orders.state.tags import DEPLOYMENT_LENGTH, Tagger


@asynccontextmanager
async def open_halt_service(settings: Settings) -> AsyncIterator[HaltService]:
    """The halt service on the database. Raises StartError."""
    clock = SystemClock()
    ids = IdSource(clock)
    async with open_operator_database(settings) as database:
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
            wake=wake_none,
        )


async def halt(
    settings: Settings, *, account_id: str | None, mode: HaltMode, open_orders: CancelOpen, reason: str
) -> list[str]:
    """Halt, and return what was done, in lines.

    Raises NotFound for an unknown account: a misspelt one must not look halted.
    """
    if account_id is not None and account_id not in load_accounts(settings):
        raise NotFound("account", account_id)
    async with open_halt_service(settings) as operations:
        done = await operations.halt(
            account_id, mode=mode, open_orders=open_orders, reason=reason, by=current_operator()
        )
    lines = [f"{mode} is in force for {account_id or 'all accounts'}"]
    lines += [f"{account}: cancelling {', '.join(ids)}" for account, ids in done.cancelled.items()]
    lines += [
        f"{account}: {count} placements had no answer yet; if they become orders, cancel again"
        for account, count in done.unanswered.items()
    ]
    return lines


async def resume(settings: Settings, *, account_id: str | None, reason: str) -> list[str]:
    """Lift the halt of this scope, and return which halts stay in force, in lines."""
    async with open_halt_service(settings) as operations:
        lifted = await operations.resume(account_id, reason=reason, by=current_operator())
        left = await operations.halts()
    what = account_id or "all accounts"
    lines = [f"the halt of {what} is lifted" if lifted else f"there was no halt of {what}"]
    lines += [f"still in force: {halt.mode} of {_scope(halt.scope)}: {halt.reason}" for halt in left]
    return lines


def _scope(scope: str) -> str:
    return "all accounts" if scope == "*" else scope
