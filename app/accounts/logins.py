"""Accounts and their broker sessions: which token is in force, and how a new one gets there.

A token may come from a login over the API, from ``TOKEN_DIR`` or from the settings; the newest wins. A login over the
API is kept in PostgreSQL, sealed with ``TOKEN_KEY``, so that every replica and the next start have it. Without
``TOKEN_KEY`` it is kept in memory only, and the answer says so. Token files are never written: their directory belongs
to the program that fills it, and may be read-only.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from loguru import logger
from pydantic import SecretStr

from app.accounts import session_store
from app.accounts.model import Account, AccountState, CurrentToken, SealedSession, Session, valid_until
from app.accounts.sealing import KEY_VERSION, CannotOpen, Sealer
from app.accounts.token_files import TokenFiles
from app.broker.port import Credentials, CredentialSource, SessionGateway
from app.db.postgres import Database
from app.errors import BrokerError, NotFound, Unavailable
from app.kit.clock import Clock

POLL_S = 2.0  # how soon a login at another replica is used here


class Gateways(Protocol):
    """Finds an account's session gateway, which itself needs the credentials that come from here."""

    def __call__(self, account_id: str) -> SessionGateway:
        """The gateway of one account; called at the first login or log-out, not before."""
        ...


class AccountService:
    """Reads are plain functions over memory; only a login, a log-out, ``start`` and ``run`` use the database.

    Every call with an account id raises NotFound for an account that is not configured.
    """

    def __init__(
        self,
        database: Database,
        *,
        accounts: Mapping[str, Account],
        token_files: TokenFiles,
        sealer: Sealer | None,
        gateways: Gateways,
        clock: Clock,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._files = token_files
        self._sealer = sealer
        self._gateways = gateways
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._listeners: dict[str, list[Callable[[], None]]] = defaultdict(list)

    @property
    def persistent(self) -> bool:
        """Whether a login over the API survives a restart."""
        return self._sealer is not None

    async def start(self) -> None:
        """Read the stored sessions. Raises Unavailable."""
        await self._load()

    async def run(self) -> None:
        """Follow the logins of other replicas; until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._load()
            except Unavailable as error:
                logger.warning("broker sessions not read: {}", error)

    def on_new_token(self, account_id: str, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each login and log-out, here or at another replica.

        It is not called when a token file changes: the next read of the credentials finds that.
        """
        self._listeners[account_id].append(listener)

    def ids(self) -> list[str]:
        """The configured accounts, in order."""
        return list(self._accounts)

    def get(self, account_id: str) -> AccountState:
        """The account and its session, as it may be shown."""
        account = self._account(account_id)
        token = self._current(account)
        since = None if token is None else token.since
        return AccountState(
            account_id=account_id,
            api_key=account.api_key,
            user_id=None if token is None else token.user_id,
            has_session=token is not None,
            token_origin=None if token is None else token.origin,
            login_time=since,
            token_valid_until=None if since is None else valid_until(since),
        )

    def states(self) -> list[AccountState]:
        """All configured accounts, in order."""
        return [self.get(account_id) for account_id in self._accounts]

    def credentials(self, account_id: str) -> CredentialSource:
        """What the gateways call at each request and each connect: always the token in force."""
        account = self._account(account_id)

        def present() -> Credentials:
            token = self._current(account)
            return Credentials(
                api_key=account.api_key,
                api_secret=account.api_secret,
                access_token=None if token is None else token.access_token,
            )

        return present

    def login_url(self, account_id: str) -> str:
        """Where the account's owner logs in at Kite."""
        self._account(account_id)
        return self._gateways(account_id).login_url()

    async def set_token(self, account_id: str, access_token: SecretStr) -> AccountState:
        """Use a token that another program got from Kite. It is not checked: the next request shows if it works."""
        account = self._account(account_id)
        await self._keep(
            account, Session(account_id=account_id, access_token=access_token, updated_at=self._clock.now())
        )
        return self.get(account_id)

    async def exchange(self, account_id: str, request_token: str) -> AccountState:
        """Finish a login. Raises BrokerError when Kite refuses the request token, and Unavailable."""
        account = self._account(account_id)
        login = await self._gateways(account_id).exchange_request_token(request_token)
        now = self._clock.now()
        session = Session(
            account_id=account_id,
            access_token=login.access_token,
            user_id=login.user_id,
            login_time=login.login_time or now,
            updated_at=now,
        )
        await self._keep(account, session)
        return self.get(account_id)

    async def log_out(self, account_id: str) -> AccountState:
        """Forget the token, and log out at Kite; what Kite answers changes nothing here. Raises Unavailable."""
        account = self._account(account_id)
        if self._current(account) is not None:
            try:
                await self._gateways(account_id).log_out()
            except BrokerError as error:
                logger.bind(account_id=account_id).warning("logged out here, but not at Kite: {}", error)
        await self._keep(account, Session(account_id=account_id, access_token=None, updated_at=self._clock.now()))
        return self.get(account_id)

    def _account(self, account_id: str) -> Account:
        account = self._accounts.get(account_id)
        if account is None:
            raise NotFound("account", account_id)
        return account

    def _current(self, account: Account) -> CurrentToken | None:
        """The newest of session and file; the settings' token where neither is newer than it."""
        session = self._sessions.get(account.account_id)
        file = self._files.read(account.account_id)
        if file is not None and (session is None or file.written_at > session.updated_at):
            return CurrentToken(access_token=file.access_token, origin="file")
        setting = account.access_token
        if setting is not None and (session is None or session.supersedes != _digest(setting)):
            return CurrentToken(access_token=setting, origin="settings")
        if session is None or session.access_token is None:
            return None
        return CurrentToken(
            access_token=session.access_token,
            origin="login",
            since=session.login_time or session.updated_at,
            user_id=session.user_id,
        )

    async def _keep(self, account: Account, session: Session) -> None:
        """In force here immediately, at the other replicas within ``POLL_S``."""
        supersedes = None if account.access_token is None else _digest(account.access_token)
        session = replace(session, supersedes=supersedes)
        if self._sealer is not None:
            async with self._database.connection() as connection:
                await session_store.write_session(connection, _sealed(session, self._sealer))
        self._adopt(session)

    def _adopt(self, session: Session) -> None:
        self._sessions[session.account_id] = session
        for listener in self._listeners[session.account_id]:
            listener()

    async def _load(self) -> None:
        if self._sealer is None:
            return
        async with self._database.connection() as connection:
            rows = await session_store.read_sessions(connection)
        for row in rows:
            known = self._sessions.get(row.account_id)
            if row.account_id in self._accounts and (known is None or row.updated_at > known.updated_at):
                self._open(row, self._sealer)

    def _open(self, row: SealedSession, sealer: Sealer) -> None:
        try:
            session = _opened(row, sealer)
        except CannotOpen:
            message = "the stored session was sealed with another TOKEN_KEY: log in again"
            logger.bind(account_id=row.account_id).error(message)
        else:
            self._adopt(session)


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


def _digest(token: SecretStr) -> bytes:
    return hashlib.sha256(token.get_secret_value().encode()).digest()
