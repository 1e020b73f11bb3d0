"""Logins: how a new broker token comes into force, here and at the other replicas.

A login over the API is stored, see ``sealed_sessions``. Without ``TOKEN_KEY`` it is kept in memory only, and the answer
says so. While the database is away a login is in force here and is stored when the database is back: a request token is
good for one exchange, so a login that was refused after it would have to begin anew. Token files are never written:
their directory belongs to the program that fills it, and may be read-only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from loguru import logger
from pydantic import SecretStr

from app.accounts.login_check import LoginCheck
from app.accounts.model import Account, AccountState, Session
from app.accounts.sealed_sessions import SealedSessions
from app.accounts.sessions import BrokerSessions
from app.accounts.token_memory import token_digest
from app.accounts.token_proofs import TokenProofs
from app.broker.port import SessionGateway
from app.errors import BrokerError, BrokerRefused, Conflict, SessionExpired, Unavailable
from app.kit.clock import Clock

POLL_S = 2.0  # how soon a login at another replica is used here


class SessionListener(Protocol):
    """What waits for a token: a feed that could not connect, orders that are held."""

    def on_session_changed(self, account_id: str) -> None:
        """A login or log-out, here or at another replica, is in force. The change of a token file is not announced."""
        ...


class Logins:
    """``gateways`` are by account; ``run`` follows the logins of other replicas until it is cancelled."""

    def __init__(
        self,
        sessions: BrokerSessions,
        *,
        stored: SealedSessions,
        gateways: Mapping[str, SessionGateway],
        listener: SessionListener,
        check: LoginCheck,
        proofs: TokenProofs,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._stored = stored
        self._gateways = gateways
        self._listener = listener
        self._check = check
        self._proofs = proofs
        self._clock = clock
        self._unstored: dict[str, Session] = {}  # by account, what the database was away for

    def is_persistent(self, account_id: str) -> bool:
        """Whether the account's login over the API survives a restart."""
        return self._stored.persistent and account_id not in self._unstored

    async def run(self) -> None:
        """Store what could not be stored, follow other replicas' logins, prove new tokens, ask whose each one is.

        Ends when it is cancelled.
        """
        while True:
            try:
                for session in list(self._unstored.values()):
                    await self._stored.store(session)
                    self._stored_now(session)
                for account_id in await self._stored.load(self._sessions):
                    self._listener.on_session_changed(account_id)
            except Unavailable as error:
                logger.warning("broker sessions not read: {}", error)
            for account_id in [*await self._proofs.prove_waiting(), *await self._check.check()]:
                self._listener.on_session_changed(account_id)
            await asyncio.sleep(POLL_S)

    def login_url(self, account_id: str) -> str:
        """Where the account's owner logs in at Kite. Raises NotFound."""
        self._sessions.account(account_id)
        return self._gateways[account_id].login_url()

    async def set_token(self, account_id: str, access_token: SecretStr) -> AccountState:
        """Use a token that another program got from Kite, once the broker has answered a request under it.

        Raises NotFound, BrokerError for a token that does not work, or that cannot be proven to work while the present
        one does, and Conflict for a token of another account's user.
        """
        account = self._sessions.account(account_id)
        user_id = await self._proofs.prove(account_id, access_token)
        if user_id is not None:
            await self._refuse_shared(account_id, user_id=user_id)
        now = self._clock.now()
        session = Session(account_id=account_id, access_token=access_token, user_id=user_id, updated_at=now)
        await self._keep(account, session)
        return self._sessions.get(account_id)

    async def exchange(self, account_id: str, request_token: str) -> AccountState:
        """Finish a login.

        Raises NotFound, Unavailable, BrokerError when Kite refuses the request token or the session that it gave, and
        Conflict when another account has a session of the same user. Then this account keeps what it had.
        """
        account = self._sessions.account(account_id)
        try:
            login = await self._gateways[account_id].exchange_request_token(request_token)
        except SessionExpired as error:  # about the request token: the session that there is may be in order
            raise BrokerRefused(error.message, error_type=error.error_type, http_status=error.http_status) from error
        await self._refuse_shared(account_id, user_id=login.user_id)
        await self._proofs.prove_login(account_id, login.access_token)
        now = self._clock.now()
        session = Session(
            account_id=account_id,
            access_token=login.access_token,
            user_id=login.user_id,
            login_time=login.login_time or now,
            updated_at=now,
        )
        await self._keep(account, session)
        return self._sessions.get(account_id)

    async def log_out(self, account_id: str) -> AccountState:
        """Forget the token, and log out at Kite; what Kite answers changes nothing here.

        Raises NotFound.
        """
        account = self._sessions.account(account_id)
        if self._sessions.get(account_id).has_session:
            try:
                await self._gateways[account_id].log_out()
            except BrokerError as error:
                logger.bind(account_id=account_id).warning("logged out here, but not at Kite: {}", error)
        await self._keep(account, Session(account_id=account_id, access_token=None, updated_at=self._clock.now()))
        return self._sessions.get(account_id)

    async def _refuse_shared(self, account_id: str, *, user_id: str) -> None:
        """Raises Conflict when another account has a session of this user; the account keeps what it had."""
        other = self._sessions.holder_of(user_id, besides=account_id)
        if other is not None:
            await self._check.report(account_id, other=other, user_id=user_id)
            message = f"account {other} has a session of the same user: {account_id} does not trade with it"
            raise Conflict(message, code="LOGIN_OF_ANOTHER_ACCOUNT")

    async def _keep(self, account: Account, session: Session) -> None:
        """In force here immediately, at the other replicas within ``POLL_S`` of its storing."""
        supersedes = None if account.access_token is None else token_digest(account.access_token)
        session = replace(session, supersedes=supersedes)
        try:
            await self._stored.store(session)
            self._unstored.pop(session.account_id, None)
        except Unavailable as error:
            self._unstored[session.account_id] = session
            logger.bind(account_id=session.account_id).warning(
                "the login is in force at this replica alone until the database is back: {}", error
            )
        self._sessions.adopt(session)
        self._listener.on_session_changed(session.account_id)

    def _stored_now(self, session: Session) -> None:
        """Unless a newer login has come while this one was stored."""
        if self._unstored.get(session.account_id) is session:
            del self._unstored[session.account_id]
