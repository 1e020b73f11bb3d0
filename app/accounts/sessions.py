"""Which broker token of each account is in force now, over all the places where one may come from.

A token comes from a login over the API, from ``TOKEN_DIR`` or from the settings; the newest wins. But one that works is
replaced only by one that works as well: until the broker has been asked, the newer one waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from pydantic import SecretStr

from app.accounts.model import Account, AccountState, CurrentToken, Session, valid_until
from app.accounts.token_files import TokenFiles
from app.accounts.token_memory import AccountTokens, token_digest
from app.broker.port import Credentials, CredentialSource
from app.errors import NotFound


class BrokerSessions:
    """The accounts of this service and their sessions, in memory; nothing here waits."""

    def __init__(self, accounts: Mapping[str, Account], *, token_files: TokenFiles) -> None:
        self._accounts = accounts
        self._files = token_files
        self._sessions: dict[str, Session] = {}
        self._users: dict[str, tuple[bytes, str]] = {}  # by account: digest of a token, and whose it is
        self._shared: Mapping[str, tuple[str, str]] = {}  # as ``shared_logins`` has last found them
        self._tokens = {account_id: AccountTokens(account_id) for account_id in accounts}
        self._in_force: dict[str, CurrentToken] = {}  # by account, as last used

    def ids(self) -> list[str]:
        """The ids of all accounts, in the order of the configuration."""
        return list(self._accounts)

    def account(self, account_id: str) -> Account:
        """The account as it is configured. Raises NotFound."""
        account = self._accounts.get(account_id)
        if account is None:
            raise NotFound("account", account_id)
        return account

    def get(self, account_id: str) -> AccountState:
        """What may be shown of the account. Raises NotFound."""
        account = self.account(account_id)
        token = self._current(account)
        since = None if token is None else token.since
        has_session = token is not None and not self._tokens[account_id].is_refused(token.access_token)
        return AccountState(
            account_id=account_id,
            api_key=account.api_key,
            user_id=None if token is None else token.user_id,
            has_session=has_session,
            token_origin=None if token is None else token.origin,
            login_time=since,
            token_valid_until=None if since is None or not has_session else valid_until(since),
        )

    def states(self) -> list[AccountState]:
        """The same of all accounts."""
        return [self.get(account_id) for account_id in self._accounts]

    def credentials(self, account_id: str) -> CredentialSource:
        """What the gateways ask at each request and each connect: always the token in force. Raises NotFound."""
        account = self.account(account_id)

        def present() -> Credentials:
            token = self._current(account)
            return Credentials(
                api_key=account.api_key,
                api_secret=account.api_secret,
                access_token=None if token is None else token.access_token,
                is_refused=token is not None and self._tokens[account_id].is_refused(token.access_token),
            )

        return present

    def secrets(self) -> list[SecretStr]:
        """Everything secret of the accounts that this process has read; nothing is read for it."""
        found = [one.api_secret for one in self._accounts.values()]
        found += [one.access_token for one in self._accounts.values() if one.access_token is not None]
        found += [one.access_token for one in self._sessions.values() if one.access_token is not None]
        return found + [one.access_token for one in self._in_force.values()]

    def tokens(self, account_id: str) -> AccountTokens:
        """What the gateways of this account tell of the broker's answers. Raises NotFound."""
        self.account(account_id)
        return self._tokens[account_id]

    def tell_of_refusals(self, listener: Callable[[str], None]) -> None:
        """``listener`` is called with the account each time that the broker refuses another token, seen here first."""
        for tokens in self._tokens.values():
            tokens.on_refused = listener

    def has_working_token(self, account_id: str) -> bool:
        """Whether the broker has accepted the account's token, and has not refused it since. Raises NotFound."""
        token = self._current(self.account(account_id))
        return token is not None and self._tokens[account_id].works(token.access_token)

    def waiting_tokens(self) -> list[tuple[str, SecretStr]]:
        """New tokens of accounts that have another one which works, unless the broker has refused them already."""
        waiting = []
        for account_id, account in self._accounts.items():
            newest, used = self._newest(account), self._replacing(account)
            if newest is None or used is None or newest.access_token == used.access_token:
                continue
            if not self._tokens[account_id].is_refused(newest.access_token):
                waiting.append((account_id, newest.access_token))
        return waiting

    def lacks(self, account_id: str, *, updated_at: datetime) -> bool:
        """Whether a session of that time would be newer than what is known of this account."""
        known = self._sessions.get(account_id)
        return account_id in self._accounts and (known is None or updated_at > known.updated_at)

    def adopt(self, session: Session) -> None:
        """The session is in force from now on, or, without a token, no login is."""
        self._sessions[session.account_id] = session
        self.shared_logins()

    def unidentified(self) -> list[str]:
        """The accounts with a token whose owner is not known."""
        return [
            account_id
            for account_id, account in self._accounts.items()
            if (token := self._replacing(account)) is not None and self._user_of(account_id, token) is None
        ]

    def identify(self, account_id: str, token: SecretStr, *, user_id: str) -> None:
        """The broker says that this token is that user's."""
        self._users[account_id] = (token_digest(token), user_id)
        self.shared_logins()

    def shared_logins(self) -> Mapping[str, tuple[str, str]]:
        """By account: the one before it in the configuration whose login it has, and whose login that is."""
        first: dict[str, str] = {}
        shared: dict[str, tuple[str, str]] = {}
        for account_id, account in self._accounts.items():
            token = self._replacing(account)
            user_id = None if token is None else self._user_of(account_id, token)
            if user_id is not None and first.setdefault(user_id, account_id) != account_id:
                shared[account_id] = (first[user_id], user_id)
        self._shared = shared
        return shared

    def holder_of(self, user_id: str, *, besides: str) -> str | None:
        """The other account whose present token is this user's."""
        for account_id, account in self._accounts.items():
            token = self._replacing(account)
            if account_id != besides and token is not None and self._user_of(account_id, token) == user_id:
                return account_id
        return None

    def _user_of(self, account_id: str, token: CurrentToken) -> str | None:
        if token.user_id is not None:
            return token.user_id
        digest, user_id = self._users.get(account_id, (b"", ""))
        return user_id if digest == token_digest(token.access_token) else None

    def _current(self, account: Account) -> CurrentToken | None:
        """The token in force; none where it is that of another account's user, because both would trade for one."""
        token, shared = self._replacing(account), self._shared.get(account.account_id)
        if token is None or shared is None or self._user_of(account.account_id, token) != shared[1]:
            return token
        return None

    def _replacing(self, account: Account) -> CurrentToken | None:
        """The newest token, or the one before it while that works and the newest has not been shown to work."""
        newest, before = self._newest(account), self._in_force.get(account.account_id)
        tokens = self._tokens[account.account_id]
        if newest is None:
            self._in_force.pop(account.account_id, None)
            return None
        if (
            before is not None
            and before.access_token != newest.access_token
            and tokens.works(before.access_token)
            and not tokens.works(newest.access_token)
        ):
            return before
        self._in_force[account.account_id] = newest
        return newest

    def _newest(self, account: Account) -> CurrentToken | None:
        """The newest of session and file; the settings' token where neither is newer than it."""
        session = self._sessions.get(account.account_id)
        file = self._files.read(account.account_id)
        if file is not None and (session is None or file.written_at > session.updated_at):
            return CurrentToken(access_token=file.access_token, origin="file")
        setting = account.access_token
        if setting is not None and (session is None or session.supersedes != token_digest(setting)):
            return CurrentToken(access_token=setting, origin="settings")
        if session is None or session.access_token is None:
            return None
        return CurrentToken(
            access_token=session.access_token,
            origin="login",
            since=session.login_time or session.updated_at,
            user_id=session.user_id,
        )
