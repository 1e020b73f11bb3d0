"""The kinds of values that a setting may have. A value that means nothing is refused, never ignored.

No refusal repeats the value: it may be a secret.
"""

from __future__ import annotations

import base64
import binascii
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Annotated, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import limits
from pydantic import AfterValidator, Field, SecretStr

Environment = Literal["development", "staging", "production"]
CalendarMode = Literal["exchange", "always"]  # always: a market that never closes, as the simulator's
AfterRecovery = Literal["reduce_only", "trade"]
Permission = Literal["allow", "refuse"]
Address = IPv4Address | IPv6Address
Amount = Annotated[Decimal, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Percent = Annotated[Decimal, Field(ge=0, le=100)]
Number = Annotated[float, Field(allow_inf_nan=False)]
ServerPort = Annotated[int, Field(ge=1, le=65535)]
PoolSize = Annotated[int, Field(ge=2, le=200)]
SEAL_BYTES = 32  # AES-256


def decoded(key: str) -> bytes:
    """The bytes of a base64 key; none for text that is no base64."""
    try:
        return base64.b64decode(key, validate=True)
    except binascii.Error:
        return b""


def listed(text: str) -> list[str]:
    """The parts of a list that is separated by commas, spaces or line ends."""
    return text.replace(",", " ").split()


def passwords_of(url: str) -> list[str]:
    """Every password that a URL gives, in its authority and in its query, as the server gets it."""
    parts = urlsplit(url)
    in_query = parse_qs(parts.query, keep_blank_values=True).get("password", [])
    return [*([] if parts.password is None else [unquote(parts.password)]), *in_query]


def _checked_limit(limit: str) -> str:
    try:
        parsed = limits.parse(limit)
    except ValueError as error:
        raise ValueError("wants count/period, such as 10/minute") from error
    if parsed.amount < 1:
        raise ValueError("wants a count of at least 1: 0 would refuse every request")
    return limit


def _checked_key(key: SecretStr) -> SecretStr:
    """A client could not send any other one: a header has no blank at its ends, and only these characters arrive."""
    if not all("!" <= character <= "~" for character in key.get_secret_value()):
        raise ValueError("wants a key that a header can carry: letters, digits and signs of ASCII, without blanks")
    return key


def _checked_url(url: str, *schemes: str) -> str:
    """The URL with one of these schemes, a host (a socket has none) and a port that exists."""
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:
        raise ValueError("wants a URL with a host and a port from 1 to 65535") from None
    if parts.scheme not in schemes:
        raise ValueError(f"wants a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if not has_port or (parts.hostname is None and parts.scheme != "unix"):
        raise ValueError("wants a URL with a host and a port from 1 to 65535")
    return url


def _rest_url(url: str) -> str:
    return _checked_url(url, "http", "https").rstrip("/")


def _stream_url(url: str) -> str:
    return _checked_url(url, "ws", "wss").rstrip("/")


def _redis_url(url: SecretStr) -> SecretStr:
    _checked_url(url.get_secret_value(), "redis", "rediss", "unix")
    return url


def _proxy_url(url: SecretStr) -> SecretStr:
    if url.get_secret_value():
        _checked_url(url.get_secret_value(), "http")
    return url


def _checked_database(url: SecretStr) -> SecretStr:
    """Several hosts are allowed, and none: libpq then takes its socket, or the host of the query."""
    text = url.get_secret_value()
    if text and urlsplit(text).scheme not in {"postgresql", "postgres"}:
        raise ValueError("wants a URL that begins with postgres:// or postgresql://")
    return url


def _addresses(given: str) -> str:
    try:
        return ",".join(str(ip_address(one)) for one in listed(given))
    except ValueError:
        raise ValueError("wants addresses, separated by commas") from None


def _networks(given: str) -> str:
    try:
        return ",".join("*" if one == "*" else str(ip_network(one, strict=False)) for one in listed(given))
    except ValueError:
        raise ValueError("wants addresses or networks, separated by commas: 10.0.0.7, 10.1.0.0/16") from None


def _sealing_key(key: SecretStr) -> SecretStr:
    if key.get_secret_value() and len(decoded(key.get_secret_value())) != SEAL_BYTES:
        raise ValueError("wants 32 random bytes in base64, such as `openssl rand -base64 32` prints")
    return key


def _tag_secrets(secrets: SecretStr) -> SecretStr:
    if any(len(decoded(part)) != SEAL_BYTES for part in listed(secrets.get_secret_value())):
        raise ValueError("wants 32 random bytes in base64; several versions separated by commas, the newest first")
    return secrets


RequestLimit = Annotated[str, AfterValidator(_checked_limit)]
"""``count/period``, as the limits library writes it."""
HeaderKey = Annotated[SecretStr, AfterValidator(_checked_key)]
RestUrl = Annotated[str, AfterValidator(_rest_url)]
StreamUrl = Annotated[str, AfterValidator(_stream_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_checked_database)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
ProxyUrl = Annotated[SecretStr, AfterValidator(_proxy_url)]
Addresses = Annotated[str, AfterValidator(_addresses)]
Networks = Annotated[str, AfterValidator(_networks)]
SealingKey = Annotated[SecretStr, AfterValidator(_sealing_key)]
TagSecretVersions = Annotated[SecretStr, AfterValidator(_tag_secrets)]
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:%-]+$")]
