"""SQL of the broker sessions. Tokens come in and go out sealed."""

from __future__ import annotations

from psycopg.rows import class_row

from app.accounts.model import SealedSession
from app.db.postgres import Tx


async def read_sessions(tx: Tx) -> list[SealedSession]:
    """The newest session of each account that ever logged in over the API."""
    async with tx.cursor(row_factory=class_row(SealedSession)) as cursor:
        await cursor.execute(
            "SELECT account_id, user_id, access_token, key_version, login_time, supersedes, updated_at"
            " FROM broker_session"
        )
        return await cursor.fetchall()


async def write_session(tx: Tx, row: SealedSession) -> None:
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
