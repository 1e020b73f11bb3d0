"""SQL of the broker sessions. Tokens come in and go out sealed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from app.db.postgres import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    account_id: str
    user_id: str | None
    access_token: bytes | None
    key_version: int
    login_time: datetime | None
    supersedes: bytes | None
    updated_at: datetime


async def read_sessions(tx: Tx) -> list[SessionRow]:
    """One row per account that ever logged in over the API."""
    async with tx.cursor(row_factory=class_row(SessionRow)) as cursor:
        await cursor.execute(
            "SELECT account_id, user_id, access_token, key_version, login_time, supersedes, updated_at"
            " FROM broker_session"
        )
        return await cursor.fetchall()


async def write_session(tx: Tx, row: SessionRow) -> None:
    """The newest session of the account replaces the one before."""
    await tx.execute(
        "INSERT INTO broker_session"
        " (account_id, user_id, access_token, key_version, login_time, supersedes, updated_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (account_id) DO UPDATE SET user_id = excluded.user_id, access_token = excluded.access_token,"
        " key_version = excluded.key_version, login_time = excluded.login_time,"
        " supersedes = excluded.supersedes, updated_at = excluded.updated_at",
        (
            row.account_id,
            row.user_id,
            row.access_token,
            row.key_version,
            row.login_time,
            row.supersedes,
            row.updated_at,
        ),
    )
