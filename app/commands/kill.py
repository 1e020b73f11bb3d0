"""``python -m app kill``: the kill switch from the command line. It needs the database only, not a running service."""

from __future__ import annotations

from app.accounts.roster import load_accounts
from app.commands.operator_database import current_operator, open_operators
from app.config import Settings
from app.errors import NotFound
from app.ops.redaction import escape
from app.orders.operators.halt_and_resume import CancelOpen
from app.orders.risk.halts import ALL_ACCOUNTS, HaltMode


async def halt(
    settings: Settings, *, account_id: str | None, mode: HaltMode, open_orders: CancelOpen, reason: str
) -> list[str]:
    """Halt, and return what was done, in lines.

    Raises NotFound for an unknown account: a misspelt one must not look halted.
    """
    if account_id is not None and account_id not in load_accounts(settings):
        raise NotFound("account", account_id)
    async with open_operators(settings) as operators:
        done = await operators.halts.halt(
            account_id, mode=mode, open_orders=open_orders, reason=reason, by=current_operator()
        )
    lines = [f"{mode} is in force for {account_id or 'all accounts'}"]
    lines += [f"{account}: cancelling {', '.join(ids)}" for account, ids in done.cancelled.items()]
    then = "cancelled as soon as the book shows them" if open_orders == "cancel" else "live, and are left so"
    lines += [
        f"{account}: {count} placements had no answer yet; those that become orders are {then}"
        for account, count in done.unanswered.items()
    ]
    return lines


async def resume(settings: Settings, *, account_id: str | None, reason: str) -> list[str]:
    """Lift the halt of this scope, and return which halts stay in force, in lines."""
    async with open_operators(settings) as operators:
        lifted = await operators.halts.resume(account_id, reason=reason, by=current_operator())
        remaining = await operators.halts.halts()
    what = account_id or "all accounts"
    lines = [f"the halt of {what} is lifted" if lifted else f"there was no halt of {what}"]
    lines += [f"still in force: {halt.mode} of {_scope(halt.scope)}: {escape(halt.reason)}" for halt in remaining]
    return lines


def _scope(scope: str) -> str:
    return "all accounts" if scope == ALL_ACCOUNTS else scope
