"""``python -m app recover``: what a loss of the database has left open. Needs the database only."""

from __future__ import annotations

from collections.abc import Sequence

from app.commands.operator_database import current_operator, open_operators
from app.config import Settings
from app.kit.clock import ist_iso
from app.ops.redaction import escape
from app.orders.operators.recovery_report import RecoverySummary

UNKNOWABLE = (
    "what cannot be known, because the database alone had it:",
    "  - orders without an Idempotency-Key: they are found by their tag's prefix, but a repetition is a new order",
    "  - keys whose final answer was that nothing was placed, and keys of an earlier day: no program may repeat those",
    "  - halts, log-outs, withdrawals and cancels that were asked for since the copy was made: ask for them again",
    "  - modifications in flight: the order shows whether they took effect",
    "  - the numbers of events: the log has a new epoch, and its readers begin with a snapshot",
)


async def report(settings: Settings) -> list[str]:
    """Each account that recovers or has recovered, in lines, and what cannot be known."""
    async with open_operators(settings) as operators:
        summaries = await operators.recoveries.summaries()
    if not summaries:
        return ["no account has recovered from a loss of the database"]
    return [line for one in summaries for line in _lines(one)] + ["", *UNKNOWABLE]


async def not_ours(settings: Settings, *, account_id: str, order_id: str, note: str) -> str:
    """Say that an order without a tag is none of this service. Raises NotFound, Conflict."""
    async with open_operators(settings) as operators:
        await operators.recoveries.not_ours(account_id, order_id, note=note, by=current_operator())
    return f"order {order_id} blocks no key any more"


def _lines(summary: RecoverySummary) -> list[str]:
    recovery = summary.recovery
    until = "recovering now" if recovery.ended_at is None else f"recovered at {ist_iso(recovery.ended_at)[:19]}"
    return [
        f"{recovery.account_id}: lost at {ist_iso(recovery.began_at)[:19]}, {until}: {escape(recovery.sign)}",
        f"  orders that were found in the order book again: {_listed(summary.found)}",
        f"  of these, not repeated by a client yet: {_listed(summary.unclaimed)}",
        f"  orders without a tag, which block the keys that they fit: {_listed(summary.without_tag)}",
        f"  batches that were not continued: {_listed(summary.stopped_batches)}",
    ]


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(ids) or "none"
