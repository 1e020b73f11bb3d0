"""Broker sessions in PostgreSQL, sealed with ``TOKEN_KEY``, so that every replica and the next start have them."""

from __future__ import annotations

from loguru import logger
from pydantic import SecretStr

from app.accounts import session_store
from app.accounts.model import SealedSession, Session
from app.accounts.sessions import BrokerSessions
from app.db.postgres import Database
from app.kit.sealing import KEY_VERSION, CannotOpen, Sealer


class SealedSessions:
    """Without a sealer nothing is stored: a login is in force in this process alone, until it ends."""

    def __init__(self, database: Database, *, sealer: Sealer | None) -> None:
        self._database = database
        self._sealer = sealer

    @property
    def persistent(self) -> bool:
        """Whether a login survives a restart."""
        return self._sealer is not None

    async def load(self, sessions: BrokerSessions) -> list[str]:
        """Adopt the stored sessions that are newer than the known ones; returns whose. Raises Unavailable."""
        if self._sealer is None:
            return []
        async with self._database.connection() as connection:
            rows = await session_store.read_sessions(connection)
        adopted = []
        for row in rows:
            if not sessions.lacks(row.account_id, updated_at=row.updated_at):
                continue
            try:
                session = _opened(row, self._sealer)
            except CannotOpen:
                message = "the stored session was sealed with another TOKEN_KEY: log in again"
                logger.bind(account_id=row.account_id).error(message)
                continue
            sessions.adopt(session)
            adopted.append(row.account_id)
        return adopted

    async def store(self, session: Session) -> None:
        """Replace what is stored of the account. Raises Unavailable."""
        if self._sealer is not None:
            async with self._database.connection() as connection:
                await session_store.write_session(connection, _sealed(session, self._sealer))


def _sealed(session: Session, sealer: Sealer) -> SealedSession:
    token = session.access_token
    sealed = None if token is None else sealer.seal(token.get_secret_value(), row=_row(session.account_id, KEY_VERSION))
    return SealedSession(
        account_id=session.account_id,
        user_id=session.user_id,
        access_token=sealed,
        key_version=KEY_VERSION,
        login_time=session.login_time,
        supersedes=session.supersedes,
        updated_at=session.updated_at,
    )


def _opened(row: SealedSession, sealer: Sealer) -> Session:
    token = None
    if row.access_token is not None:
        token = SecretStr(sealer.open(row.access_token, row=_row(row.account_id, row.key_version)))
    return Session(
        account_id=row.account_id,
        access_token=token,
        user_id=row.user_id,
        login_time=row.login_time,
        updated_at=row.updated_at,
        supersedes=row.supersedes,
    )


def _row(account_id: str, key_version: int) -> str:
    return f"broker_session|{account_id}|access_token|{key_version}"
