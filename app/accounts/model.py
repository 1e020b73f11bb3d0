"""Accounts and their broker sessions, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias

from pydantic import SecretStr

from app.kit.clock import IST

TOKEN_DAY_STARTS = time(6, 0)  # "expires at 6 AM on the next day", https://kite.trade/docs/connect/v3/user/

TokenOrigin: TypeAlias = Literal["login", "file", "settings"]
"""Where an access token came from: a login over the API, ``TOKEN_DIR``, or the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account as it is configured, with the Kite app that acts for it.

    ``access_token`` is that of the settings, used where no newer one is known. ``own_limits`` are the ``risk_``
    settings that differ for this account, by their names.
    """

    account_id: str
    api_key: str
    api_secret: SecretStr
    access_token: SecretStr | None = None
    own_limits: Mapping[str, Decimal | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A broker session that came over the API; ``access_token`` None: logged out.

    ``supersedes`` is the digest of the settings' token at that time: after a restart it shows whether that token is
    still the old one.
    """

    account_id: str
    access_token: SecretStr | None
    updated_at: datetime
    user_id: str | None = None
    login_time: datetime | None = None
    supersedes: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentToken:
    """The token in force and where it came from. ``since`` and ``user_id`` are None where they are not known."""

    access_token: SecretStr
    origin: TokenOrigin
    since: datetime | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """What may be shown of an account: no secret. ``token_valid_until`` is None where it is not known."""

    account_id: str
    api_key: str
    user_id: str | None
    has_session: bool
    token_origin: TokenOrigin | None
    login_time: datetime | None
    token_valid_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSession:
    """A ``Session`` as it is stored: ``access_token`` is encrypted by the key of ``key_version``; None: logged out."""

    account_id: str
    user_id: str | None
    access_token: bytes | None
    key_version: int
    login_time: datetime | None
    supersedes: bytes | None
    updated_at: datetime


def valid_until(since: datetime) -> datetime:
    """The next 06:00 IST after a login."""
    local = since.astimezone(IST)
    end = datetime.combine(local.date(), TOKEN_DAY_STARTS, tzinfo=IST)
    if end <= local:
        end += timedelta(days=1)
    return end.astimezone(UTC)
