"""Login URL, checksum and the session object (https://kite.trade/docs/connect/v3/user/)."""

from __future__ import annotations

import hashlib
from urllib.parse import urlencode

from pydantic import SecretStr

from app.broker.port import LoginResult
from app.errors import BrokerUnavailable
from app.kite.wire.values import moment_of, text_of


def login_url(base_url: str, *, api_key: str, redirect_params: str | None) -> str:
    """Where the account's owner logs in; ``redirect_params`` (``a=1&b=2``) comes back on the redirect."""
    query = {"v": "3", "api_key": api_key}
    if redirect_params is not None:
        query["redirect_params"] = redirect_params
    return f"{base_url}?{urlencode(query)}"


def login_checksum(*, api_key: str, request_token: str, api_secret: SecretStr) -> str:
    """SHA-256 of the three texts joined without separator, lower-case hex."""
    return hashlib.sha256(f"{api_key}{request_token}{api_secret.get_secret_value()}".encode()).hexdigest()


def parse_session(data: object) -> LoginResult:
    """The answer of ``POST /session/token``. Raises BrokerUnavailable; the message never repeats a value of it."""
    if not isinstance(data, dict):
        raise BrokerUnavailable("the session is not an object")
    try:
        return LoginResult(
            user_id=text_of(data, "user_id"),
            access_token=SecretStr(text_of(data, "access_token")),
            login_time=moment_of(data, "login_time"),
        )
    except ValueError:
        raise BrokerUnavailable("the session lacks user_id, access_token or a readable login_time") from None
