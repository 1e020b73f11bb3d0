"""SQL of what stops the new orders of accounts: halts and doubts, for several accounts in two short statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.db.postgres import Tx
from app.orders.risk.doubt_limit_store import MANY_DOUBTS
from app.orders.risk.halt_store import list_halts
from app.orders.risk.halts import ALL_ACCOUNTS, Halt


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """What stops an account's new orders, as it is stored."""

    halt: Halt | None  # the stricter one, where the account and all accounts have one
    address_refused: str | None  # why the service has halted the account: the broker's words
    many_doubts: bool  # too much is unknown to add to a position


async def stops_of(
    tx: Tx, account_ids: Sequence[str], *, halt_doubts: int, halt_doubt_age_s: float
) -> dict[str, Stops]:
    """What stops the new orders of each of these accounts."""
    halts = {halt.scope: halt for halt in await list_halts(tx)}
    many_doubts = MANY_DOUBTS.replace("%(account_id)s", "a.id")
    cursor = await tx.execute(
        f"SELECT a.id, {many_doubts} FROM unnest(%(ids)s::text[]) AS a (id)",
        {"ids": list(account_ids), "halt_doubts": halt_doubts, "halt_doubt_age_s": halt_doubt_age_s},
    )
    return {row[0]: _stops(row[0], halts, many_doubts=row[1]) for row in await cursor.fetchall()}


def _stops(account_id: str, halts: Mapping[str, Halt], *, many_doubts: bool) -> Stops:
    own = halts.get(account_id)
    both = [halt for halt in (halts.get(ALL_ACCOUNTS), own) if halt is not None]
    return Stops(
        halt=min(both, key=lambda halt: halt.mode, default=None),  # "halt" comes before "reduce_only"
        address_refused=own.reason if own is not None and own.is_for_want_of_an_address else None,
        many_doubts=many_doubts,
    )
