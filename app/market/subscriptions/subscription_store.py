"""Subscriptions in PostgreSQL: one version row serialises the writers and tells other replicas of changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import kwargs_row

from app.broker.market import Mode
from app.db.postgres import Tx
from app.market.subscriptions.desired_state import Place, Want

_COLUMNS = "owner, account_id, exchange, tradingsymbol, instrument_token, requested_mode, created_at, updated_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWant:
    """A row to write."""

    place: Place
    instrument_token: int
    requested_mode: Mode


async def lock_version(tx: Tx) -> int:
    """Become the one writer of subscriptions until the transaction ends; the version of what is stored."""
    return _one(await (await tx.execute("SELECT version FROM subscription_version FOR UPDATE")).fetchone())


async def read_version(tx: Tx) -> int:
    return _one(await (await tx.execute("SELECT version FROM subscription_version")).fetchone())


async def bump_version(tx: Tx) -> int:
    """Something was changed in this transaction; the new version."""
    cursor = await tx.execute("UPDATE subscription_version SET version = version + 1 RETURNING version")
    return _one(await cursor.fetchone())


async def read_all(tx: Tx) -> list[Want]:
    """Every want. Bounded by capacity times accounts times owners."""
    async with tx.cursor(row_factory=kwargs_row(_want)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM subscription")
        return await cursor.fetchall()


async def upsert(tx: Tx, owner: str, rows: Sequence[NewWant]) -> list[Want]:
    """Write one owner's wants in one round trip; the rows as stored."""
    async with tx.cursor(row_factory=kwargs_row(_want)) as cursor:
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
                [row.place[0] for row in rows],
                [row.place[1][0] for row in rows],
                [row.place[1][1] for row in rows],
                [row.instrument_token for row in rows],
                [row.requested_mode.value for row in rows],
            ),
        )
        return await cursor.fetchall()


async def remove(tx: Tx, owner: str, places: Sequence[Place]) -> None:
    """Take back one owner's wants."""
    await tx.execute(
        "DELETE FROM subscription USING unnest(%s::text[], %s::text[], %s::text[]) AS gone (account, exchange, symbol)"
        " WHERE owner = %s AND account_id = gone.account AND subscription.exchange = gone.exchange"
        "   AND tradingsymbol = gone.symbol",
        ([place[0] for place in places], [place[1][0] for place in places], [place[1][1] for place in places], owner),
    )


def _want(**row: object) -> Want:
    return Want(**{**row, "requested_mode": Mode(str(row["requested_mode"]))})  # type: ignore[arg-type]


def _one(row: tuple[object, ...] | None) -> int:
    if row is None:
        raise LookupError("subscription_version has no row: the schema is not at head")
    return int(str(row[0]))
