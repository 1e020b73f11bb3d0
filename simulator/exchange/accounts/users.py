"""The broker's users: API keys, access tokens, logins, and where order updates are posted.

Account 1 is `SIM001` / `simkey` / `simsecret` / `simtoken`; account n has n appended to each name. So that a script
needs no browser, each account has a preset access token that is valid from the start, and a preset request token
(`simreqtoken`, `simreqtoken2`, ...) that may be exchanged any number of times. A login's tokens are derived from the
seed.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from simulator.errors import KiteError, checksum_error, missing_field, request_token_error, token_error
from simulator.formats import next_session_end

MAX_TOKENS = 100
"""Valid access tokens of one account; a further login ends the oldest."""
MAX_REQUEST_TOKENS = 100
"""Unused request tokens of one account, and as many refresh tokens; a further one ends all of them."""

Authenticate = Callable[[str, str], str | None]
"""API key and access token to the user id; None when the pair is not valid."""

SessionEnd = Literal["never", "at_six"]
"""When an access token ends: never, or at six in the morning (IST) after its login, as at Kite."""


@dataclass(slots=True)
class Account:
    """One user with one app."""

    user_id: str
    """The broker's id of the user, such as `SIM001`."""
    api_key: str
    """Of the app, as `api_secret` and `app_id`."""
    api_secret: str
    """Signs logins and order updates."""
    preset_token: str
    """The access token that is valid from the start."""
    preset_request_token: str
    """The request token that may be exchanged any number of times."""
    app_id: int
    """In order updates."""
    demat_consent: str = "consent"
    """`consent` or `physical`: the broker may take shares for sales. Empty: each sale is authorised by the user."""
    postback_url: str | None = None
    """Where the app's order updates are posted; None: nowhere."""
    tokens: dict[str, datetime] = field(default_factory=dict)
    """Each valid access token with the moment of its login."""
    request_tokens: set[str] = field(default_factory=set)
    """Made by a login and not exchanged yet."""
    refresh_tokens: set[str] = field(default_factory=set)
    """Issued and not used yet."""
    logins: int = 0
    """How many tokens were made; the next one is derived from it."""

    def revive(self, at: datetime) -> None:
        """Makes the preset token valid again, as on a new day."""
        self.tokens[self.preset_token] = at

    def expire(self) -> None:
        """Ends every access token of the account."""
        self.tokens.clear()


@dataclass(frozen=True, slots=True)
class Session:
    """The result of a login."""

    account: Account
    access_token: str
    login_time: datetime


class Accounts:
    """All accounts of one simulator. Its methods raise `KiteError` with Kite's status and sentence."""

    def __init__(self, count: int, *, seed: int, started_at: datetime, session_end: SessionEnd) -> None:
        self._seed = seed
        self.on_change: Callable[[Account], None] | None = None
        """Called after each login, log-out and change of an account."""
        self._session_end = session_end
        self._by_user: dict[str, Account] = {}
        self._by_key: dict[str, Account] = {}
        for number in range(1, count + 1):
            account = create_account(number, started_at=started_at)
            self._by_user[account.user_id] = account
            self._by_key[account.api_key] = account

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_user.values())

    def get(self, user_id: str) -> Account | None:
        return self._by_user.get(user_id)

    def by_key(self, api_key: str) -> Account:
        """The account of an app. Raises KiteError (400, 403) for a missing or unknown key."""
        if not api_key:
            raise missing_field("api_key")
        account = self._by_key.get(api_key)
        if account is None:
            raise KiteError("Invalid `api_key`.", status=403, error_type="TokenException")
        return account

    def user_of_key(self, api_key: str) -> str | None:
        account = self._by_key.get(api_key)
        return account.user_id if account else None

    def authenticate(self, api_key: str, access_token: str, *, now: datetime) -> str | None:
        """The user id of a valid pair of key and token, else None. Ends a token that is over its time."""
        account = self._by_key.get(api_key)
        if account is None:
            return None
        login_time = account.tokens.get(access_token)
        if login_time is None:
            return None
        if self._session_end == "at_six" and now >= next_session_end(login_time):
            del account.tokens[access_token]
            return None
        return account.user_id

    def start_login(self, api_key: str) -> str:
        """A new request token for one exchange, as a browser's login puts it into the redirect."""
        account = self.by_key(api_key)
        account.logins += 1
        token = self._derive(account, f"request-{account.logins}")
        if len(account.request_tokens) >= MAX_REQUEST_TOKENS:
            account.request_tokens.clear()
        account.request_tokens.add(token)
        self.changed(account)
        return token

    def open_session(self, api_key: str, request_token: str, checksum: str, *, now: datetime) -> Session:
        """A session for a request token; `checksum` is sha256(api_key + request_token + api_secret) in hex."""
        account = self.by_key(api_key)
        if not request_token:
            raise missing_field("request_token")
        if not checksum:
            raise missing_field("checksum")
        if not is_checksum(checksum, api_key, request_token, account.api_secret):
            raise checksum_error()
        if request_token != account.preset_request_token:
            if request_token not in account.request_tokens:
                raise request_token_error()
            account.request_tokens.discard(request_token)
        return self._create_session(account, now=now)

    def renew(self, api_key: str, refresh_token: str, checksum: str, *, now: datetime) -> Session:
        """A new session for a refresh token, which can be used once."""
        account = self.by_key(api_key)
        if not refresh_token:
            raise missing_field("refresh_token")
        if not is_checksum(checksum, api_key, refresh_token, account.api_secret):
            raise checksum_error()
        if refresh_token not in account.refresh_tokens:
            raise request_token_error()
        account.refresh_tokens.discard(refresh_token)
        return self._create_session(account, now=now)

    def issue_refresh_token(self, session: Session) -> str:
        """A token that `renew` accepts once. Kite gives them to approved platforms only."""
        token = self._derive(session.account, f"refresh-{session.account.logins}")
        if len(session.account.refresh_tokens) >= MAX_REQUEST_TOKENS:
            session.account.refresh_tokens.clear()
        session.account.refresh_tokens.add(token)
        self.changed(session.account)
        return token

    def invalidate(self, api_key: str, *, access_token: str, refresh_token: str) -> None:
        """Logs out: ends the given token. Raises KiteError for an access token that is not valid."""
        account = self.by_key(api_key)
        if refresh_token:
            account.refresh_tokens.discard(refresh_token)
            self.changed(account)
            return
        if not access_token:
            raise missing_field("access_token")
        if account.tokens.pop(access_token, None) is None:
            raise token_error()
        self.changed(account)

    def changed(self, account: Account) -> None:
        """Calls `on_change`. A caller that sets a field of an account calls it afterwards."""
        if self.on_change is not None:
            self.on_change(account)

    def _create_session(self, account: Account, *, now: datetime) -> Session:
        """Returns the preset token while it is valid, as Kite may return one token twice on a day; else a new one."""
        account.logins += 1
        token = account.preset_token
        if self.authenticate(account.api_key, token, now=now) is None:
            token = self._derive(account, f"access-{account.logins}")
        if len(account.tokens) >= MAX_TOKENS:
            account.tokens.pop(next(iter(account.tokens)))
        account.tokens[token] = now
        self.changed(account)
        return Session(account=account, access_token=token, login_time=now)

    def _derive(self, account: Account, purpose: str) -> str:
        return hashlib.sha256(f"{self._seed}:{account.user_id}:{purpose}".encode()).hexdigest()[:32]


def create_account(number: int, *, started_at: datetime) -> Account:
    """Account `number`, counted from 1, with its preset token valid."""
    suffix = "" if number == 1 else str(number)
    account = Account(
        user_id=f"SIM{number:03d}",
        api_key=f"simkey{suffix}",
        api_secret=f"simsecret{suffix}",
        preset_token=f"simtoken{suffix}",
        preset_request_token=f"simreqtoken{suffix}",
        app_id=number,
    )
    account.revive(started_at)
    return account


def is_checksum(given: str, *parts: str) -> bool:
    """Whether `given` is the hex SHA-256 of the parts joined without separators."""
    expected = hashlib.sha256("".join(parts).encode()).hexdigest()
    return hmac.compare_digest(given.lower().encode(), expected.encode())
