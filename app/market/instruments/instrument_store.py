"""SQL of instruments: COPY into a staging table, merged in one transaction; expired ones stay, marked as such."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from itertools import islice

from psycopg.rows import class_row

from app.broker.market import Instrument
from app.db.postgres import Tx
from app.market.instruments.model import LastRefresh

_COLUMNS = (
    "exchange, tradingsymbol, instrument_token, exchange_token, name, expiry, strike, tick_size, lot_size,"
    " instrument_type, segment"
)
_UPDATED = ("instrument_token", "exchange_token", "name", "expiry", "strike", "tick_size", "lot_size",
            "instrument_type", "segment")  # fmt: skip
_ROWS_A_BLOCK = 2000
_ROWS_A_FETCH = 500
KEEP_EXPIRED_DAYS = 180
"""How long a request for an expired instrument is still answered with 410 instead of 404."""


async def last_refresh(tx: Tx) -> LastRefresh | None:
    """None: no dump was ever stored."""
    async with tx.cursor(row_factory=class_row(LastRefresh)) as cursor:
        await cursor.execute("SELECT refreshed_at, instruments FROM instrument_refresh")
        return await cursor.fetchone()


async def read_live(tx: Tx) -> AsyncIterator[list[Instrument]]:
    """Everything that has not expired, in pages small enough not to hold the event loop. Needs a transaction."""
    async with tx.cursor(name="instruments", row_factory=class_row(Instrument)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM instrument WHERE expired_at IS NULL")
        while page := await cursor.fetchmany(_ROWS_A_FETCH):
            yield page


async def find_expired(
    tx: Tx, *, instrument_token: int | None = None, key: tuple[str, str] | None = None
) -> str | None:
    """``EXCHANGE:TRADINGSYMBOL`` of a known instrument that had this token, or that has this key; None: never seen."""
    exchange, tradingsymbol = key or (None, None)
    cursor = await tx.execute(
        "SELECT exchange || ':' || tradingsymbol FROM instrument"
        " WHERE instrument_token = %s OR (exchange = %s AND tradingsymbol = %s)"
        " ORDER BY expired_at DESC NULLS LAST LIMIT 1",
        (instrument_token, exchange, tradingsymbol),
    )
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def replace_live(tx: Tx, blocks: Sequence[bytes], *, instruments: int, now: datetime) -> None:
    """Make the given dump (``to_blocks``) the live set: new and changed rows are written, missing ones marked."""
    await tx.execute("SET LOCAL statement_timeout = '60s'")  # 100,000 rows are not a request's work
    await tx.execute("LOCK TABLE instrument_refresh IN EXCLUSIVE MODE")  # one refresh at a time, over all replicas
    await tx.execute("CREATE TEMP TABLE staging (LIKE instrument) ON COMMIT DROP")
    async with tx.cursor() as cursor:
        copy_into = f"COPY staging ({_COLUMNS}) FROM STDIN (FORMAT csv, FORCE_NOT_NULL (name))"
        async with cursor.copy(copy_into) as copy:
            for block in blocks:
                await copy.write(block)
    await tx.execute("ANALYZE staging")
    await tx.execute(_MERGE)
    await tx.execute(_MARK_EXPIRED, (now,))
    await tx.execute(
        "DELETE FROM instrument WHERE expired_at < %s - make_interval(days => %s)", (now, KEEP_EXPIRED_DAYS)
    )
    await tx.execute(
        "INSERT INTO instrument_refresh (refreshed_at, instruments) VALUES (%s, %s)"
        " ON CONFLICT (only_row) DO UPDATE"
        " SET refreshed_at = EXCLUDED.refreshed_at, instruments = EXCLUDED.instruments",
        (now, instruments),
    )


_MERGE = f"""
INSERT INTO instrument ({_COLUMNS})
SELECT {_COLUMNS} FROM staging
ON CONFLICT (exchange, tradingsymbol) DO UPDATE
SET {", ".join(f"{column} = EXCLUDED.{column}" for column in _UPDATED)}, expired_at = NULL
WHERE ({", ".join(f"instrument.{column}" for column in _UPDATED)}, instrument.expired_at)
  IS DISTINCT FROM ({", ".join(f"EXCLUDED.{column}" for column in _UPDATED)}, NULL)
"""

_MARK_EXPIRED = """
UPDATE instrument SET expired_at = %s
WHERE expired_at IS NULL AND NOT EXISTS (
  SELECT 1 FROM staging WHERE staging.exchange = instrument.exchange
                          AND staging.tradingsymbol = instrument.tradingsymbol)
"""


def to_blocks(instruments: Iterator[Instrument]) -> list[bytes]:
    """CSV as COPY reads it, in blocks; run it in a thread. Keys must be unique."""
    blocks: list[bytes] = []
    while rows := list(islice(instruments, _ROWS_A_BLOCK)):
        text = io.StringIO()
        csv.writer(text).writerows(
            (
                row.exchange,
                row.tradingsymbol,
                row.instrument_token,
                row.exchange_token,
                row.name,
                row.expiry or "",
                row.strike,
                row.tick_size,
                row.lot_size,
                row.instrument_type,
                row.segment,
            )
            for row in rows
        )
        blocks.append(text.getvalue().encode())
    return blocks
