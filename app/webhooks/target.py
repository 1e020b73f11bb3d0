"""Where does a webhook's URL lead? Checked when it is registered, and before each request.

The name's addresses are checked when the request is sent (``checked_connection``): what a name resolves to may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from app.webhooks.public_addresses import is_loopback, parse_address, refusal

MAX_URL = 2048
PORTS = (443, 8443)
_LOCALHOST = "localhost"


class UnusableUrl(Exception):
    """The URL cannot be one of a webhook; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``loopback``: only addresses of this machine may be connected to; otherwise only public ones."""

    scheme: str
    host: str  # a name in ASCII, or a literal address without brackets
    port: int
    path: str  # with the query
    loopback: bool


def parse_target(url: str, *, allow_loopback: bool) -> Target:
    """The parts of a webhook's URL. ``allow_loopback`` allows http and any port on this machine.

    Raises UnusableUrl.
    """
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise UnusableUrl(f"wants at most {MAX_URL} printable ASCII characters; write other letters in punycode")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError as error:
        raise UnusableUrl("is not a URL") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise UnusableUrl("must begin with https:// and a host")
    if "@" in parts.netloc:
        raise UnusableUrl("must not have a user or a password in it")
    if parts.fragment:
        raise UnusableUrl("must not have a fragment")
    loopback = allow_loopback and (host == _LOCALHOST or is_loopback(host))
    if not loopback:
        _require_public(parts, host=host, port=port)
    return Target(
        scheme=parts.scheme,
        host=host,
        port=port if port is not None else {"http": 80, "https": 443}[parts.scheme],
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        loopback=loopback,
    )


def _require_public(parts: SplitResult, *, host: str, port: int | None) -> None:
    if parts.scheme != "https":
        raise UnusableUrl("must begin with https://")
    if port is not None and port not in PORTS:
        raise UnusableUrl(f"must use port {' or '.join(map(str, PORTS))}")
    if host == _LOCALHOST or host.endswith(f".{_LOCALHOST}"):
        raise UnusableUrl("must lead to another machine")
    if "%" in host or (parse_address(host) is not None and refusal(host) is not None):
        raise UnusableUrl(f"{host} {refusal(host) or 'is not a host'}")
