"""An account: whose orders and ticks they are, and which Kite app speaks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Literal

from pydantic import SecretStr

from app.kit.clock import IST

TOKEN_DAY_STARTS = time(6, 0)  # "expires at 6 AM on the next day", https://kite.trade/docs/connect/v3/user/

TokenOrigin = Literal["login", "file", "settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account as it is configured. ``access_token`` is what the settings give, the last resort of the sources.

    ``own_limits``: the ``risk_`` settings that differ for this account, by their names.
    """

    account_id: str
    api_key: str
    api_secret: SecretStr
    access_token: SecretStr | None = None
    own_limits: Mapping[str, Decimal | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A broker session that came over the API; ``access_token`` None says that somebody logged out.

    ``supersedes`` is the digest of the settings' token at that time, so that a restart can tell an old one from a new.
    """

    account_id: str
    access_token: SecretStr | None
    updated_at: datetime
    user_id: str | None = None
    login_time: datetime | None = None
    supersedes: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentToken:
    """The token in force and where it came from. ``since`` is None where nobody can know."""

    access_token: SecretStr
    origin: TokenOrigin
    since: datetime | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """What may be shown of an account: never a secret. ``token_valid_until`` is None where it is not known."""

    account_id: str
    api_key: str
    user_id: str | None
    has_session: bool
    token_origin: TokenOrigin | None
    login_time: datetime | None
    token_valid_until: datetime | None


def valid_until(since: datetime) -> datetime:
    """The next 06:00 IST after a login."""
    local = since.astimezone(IST)
    end = datetime.combine(local.date(), TOKEN_DAY_STARTS, tzinfo=IST)
    if end <= local:
        end += timedelta(days=1)
    return end.astimezone(UTC)
