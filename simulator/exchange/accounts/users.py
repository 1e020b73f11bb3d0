"""Users of the broker: their keys, their sessions and where their order updates are posted.

Account 1 is `SIM001` / `simkey` / `simsecret` / `simtoken`, account n the same with the number behind. Each account has
one access token that is alive from the start, and a request token `simreqtoken` (`simreqtoken2`, ...) that may be
exchanged any number of times, so that a script needs no browser. Tokens minted by a login are derived from the seed.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from simulator.errors import KiteError, checksum_error, missing_field, request_token_error, token_error
from simulator.formats import next_token_death

MAX_TOKENS = 100
"""Live access tokens kept for one account; the oldest dies first."""
MAX_REQUEST_TOKENS = 100

SessionEnd = Literal["never", "at_six"]


@dataclass(slots=True)
class Account:
    """One user with one app. `tokens` maps a live access token to the moment of its login."""

    user_id: str
    api_key: str
    api_secret: str
    standing_token: str
    standing_request_token: str
    app_id: int
    started_at: datetime
    postback_url: str | None = None
    tokens: dict[str, datetime] = field(default_factory=dict)
    request_tokens: set[str] = field(default_factory=set)
    refresh_tokens: set[str] = field(default_factory=set)
    logins: int = 0

    def revive(self, at: datetime) -> None:
        """The standing token works again, as it does on a new day."""
        self.tokens[self.standing_token] = at

    def expire(self) -> None:
        """Every token of the account dies."""
        self.tokens.clear()


@dataclass(frozen=True, slots=True)
class Session:
    """What a login gives."""

    account: Account
    access_token: str
    login_time: datetime


class Accounts:
    """All accounts of one simulator. Raises `KiteError` as Kite does; knows nothing of HTTP."""

    def __init__(self, count: int, *, seed: int, started_at: datetime, session_end: SessionEnd) -> None:
        self._seed = seed
        self.on_change: Callable[[Account], None] | None = None
        """Told of each login, log-out and setting of an account, once it is done."""
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
        """The account of an app. Raises as Kite does for a key it does not know."""
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
        """The user id behind a live token, else None."""
        account = self._by_key.get(api_key)
        if account is None:
            return None
        login_time = account.tokens.get(access_token)
        if login_time is None:
            return None
        if self._session_end == "at_six" and now >= next_token_death(login_time):
            del account.tokens[access_token]
            return None
        return account.user_id

    def start_login(self, api_key: str) -> str:
        """A request token, as the browser login would put it into the redirect. Single use."""
        account = self.by_key(api_key)
        account.logins += 1
        token = self._derive(account, f"request-{account.logins}")
        if len(account.request_tokens) >= MAX_REQUEST_TOKENS:
            account.request_tokens.clear()
        account.request_tokens.add(token)
        self.changed(account)
        return token

    def exchange(self, api_key: str, request_token: str, checksum: str, *, now: datetime) -> Session:
        """A session for a request token; checksum = sha256(api_key + request_token + api_secret)."""
        account = self.by_key(api_key)
        if not request_token:
            raise missing_field("request_token")
        if not checksum:
            raise missing_field("checksum")
        if not is_checksum(checksum, api_key, request_token, account.api_secret):
            raise checksum_error()
        if request_token != account.standing_request_token:
            if request_token not in account.request_tokens:
                raise request_token_error()
            account.request_tokens.discard(request_token)
        return self._open_session(account, now=now)

    def renew(self, api_key: str, refresh_token: str, checksum: str, *, now: datetime) -> Session:
        """A fresh session for a refresh token, which is used up."""
        account = self.by_key(api_key)
        if not refresh_token:
            raise missing_field("refresh_token")
        if not is_checksum(checksum, api_key, refresh_token, account.api_secret):
            raise checksum_error()
        if refresh_token not in account.refresh_tokens:
            raise request_token_error()
        account.refresh_tokens.discard(refresh_token)
        return self._open_session(account, now=now)

    def issue_refresh_token(self, session: Session) -> str:
        """Approved platforms only: a token that `renew` accepts once."""
        token = self._derive(session.account, f"refresh-{session.account.logins}")
        session.account.refresh_tokens.add(token)
        self.changed(session.account)
        return token

    def invalidate(self, api_key: str, *, access_token: str, refresh_token: str) -> None:
        """Logs out: the named token dies. Raises for a token that is not alive."""
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
        """Whoever changes an account from outside says so here."""
        if self.on_change is not None:
            self.on_change(account)

    def _open_session(self, account: Account, *, now: datetime) -> Session:
        """The standing token while it lives, as Kite may return the same token twice on a day; else a new one."""
        account.logins += 1
        token = account.standing_token
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
    """Account `number` from 1, with its standing token alive."""
    suffix = "" if number == 1 else str(number)
    account = Account(
        user_id=f"SIM{number:03d}",
        api_key=f"simkey{suffix}",
        api_secret=f"simsecret{suffix}",
        standing_token=f"simtoken{suffix}",
        standing_request_token=f"simreqtoken{suffix}",
        app_id=number,
        started_at=started_at,
    )
    account.revive(started_at)
    return account


def is_checksum(given: str, *parts: str) -> bool:
    """Whether `given` is the hex SHA-256 of the parts joined without separators."""
    expected = hashlib.sha256("".join(parts).encode()).hexdigest()
    return hmac.compare_digest(given.lower().encode(), expected.encode())
