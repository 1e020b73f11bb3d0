"""SQL of subscriptions. One version row serialises the writers and tells the other replicas that something changed."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.rows import kwargs_row

from app.broker.market import Mode
from app.db.postgres import Tx
from app.market.subscriptions.model import NewSubscription, StreamKey, Subscription

_COLUMNS = "owner, account_id, exchange, tradingsymbol, instrument_token, requested_mode, created_at, updated_at"


async def lock_version(tx: Tx) -> int:
    """Become the one writer of subscriptions until the transaction ends; the version of what is stored."""
    return _one(await (await tx.execute("SELECT version FROM subscription_version FOR UPDATE")).fetchone())


async def read_version(tx: Tx) -> int:
    """The version of what is stored; it rises with every change."""
    return _one(await (await tx.execute("SELECT version FROM subscription_version")).fetchone())


async def bump_version(tx: Tx) -> int:
    """Something was changed in this transaction; the new version."""
    cursor = await tx.execute("UPDATE subscription_version SET version = version + 1 RETURNING version")
    return _one(await cursor.fetchone())


async def read_all(tx: Tx) -> list[Subscription]:
    """Every subscription. Bounded by capacity times accounts times owners."""
    async with tx.cursor(row_factory=kwargs_row(_subscription)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM subscription")
        return await cursor.fetchall()


async def upsert(tx: Tx, owner: str, rows: Sequence[NewSubscription]) -> list[Subscription]:
    """Write one owner's subscriptions in one round trip; the rows as stored."""
    async with tx.cursor(row_factory=kwargs_row(_subscription)) as cursor:
        await cursor.execute(
            f"INSERT INTO subscription ({_COLUMNS})"
            " SELECT %s, account_id, exchange, tradingsymbol, token, mode, now(), now()"
            " FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[])"
            "   AS row (account_id, exchange, tradingsymbol, token, mode)"
            " ON CONFLICT (owner, account_id, exchange, tradingsymbol) DO UPDATE"
            " SET instrument_token = EXCLUDED.instrument_token, requested_mode = EXCLUDED.requested_mode,"
            "     updated_at = EXCLUDED.updated_at"
            f" RETURNING {_COLUMNS}",
            (
                owner,
                [row.stream[0] for row in rows],
                [row.stream[1][0] for row in rows],
                [row.stream[1][1] for row in rows],
                [row.instrument_token for row in rows],
                [row.requested_mode.value for row in rows],
            ),
        )
        return await cursor.fetchall()


async def remove(tx: Tx, owner: str, streams: Sequence[StreamKey]) -> None:
    """Delete these subscriptions of one owner."""
    await tx.execute(
        "DELETE FROM subscription USING unnest(%s::text[], %s::text[], %s::text[]) AS gone (account, exchange, symbol)"
        " WHERE owner = %s AND account_id = gone.account AND subscription.exchange = gone.exchange"
        "   AND tradingsymbol = gone.symbol",
        (
            [account_id for account_id, _ in streams],
            [exchange for _, (exchange, _) in streams],
            [tradingsymbol for _, (_, tradingsymbol) in streams],
            owner,
        ),
    )


def _subscription(**row: object) -> Subscription:
    return Subscription(**{**row, "requested_mode": Mode(str(row["requested_mode"]))})  # type: ignore[arg-type]


def _one(row: tuple[object, ...] | None) -> int:
    if row is None:
        raise LookupError("subscription_version has no row: the schema is not at head")
    return int(str(row[0]))
