"""May a browser's page send this request? By its ``Host`` and ``Origin``, as web pages cannot choose them.

A page on a name that its owner points to this machine (DNS rebinding) sends that name as ``Host``; a page elsewhere
sends its own ``Origin`` with each write and WebSocket. Programs send no ``Origin``. An address as ``Host`` is always
trusted: no name can be pointed anywhere by it.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from app.config import Settings
from app.errors import NotAuthorised
from app.safe_values import is_loopback

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class TrustedNames:
    """``hosts`` None: any name; else host names without a port, ``*.example.com`` for all below it."""

    def __init__(self, *, hosts: frozenset[str] | None, origins: frozenset[str]) -> None:
        self._hosts = hosts
        self._origins = origins

    @classmethod
    def from_settings(cls, settings: Settings) -> TrustedNames:
        """The lists of the settings; without one, a service that listens on loopback is ``localhost`` only."""
        hosts = _listed(settings.trusted_hosts)
        if not hosts and not is_loopback(settings.host):
            return cls(hosts=None, origins=_listed(settings.trusted_origins))
        return cls(hosts=hosts | {"localhost"}, origins=_listed(settings.trusted_origins))

    def check(self, *, host: str | None, origin: str | None, method: str) -> None:
        """``method`` of a WebSocket is ``CONNECT``. Raises NotAuthorised."""
        if host is not None and not self._trusts(host):
            raise NotAuthorised("the Host of this request is none of TRUSTED_HOSTS", code="HOST_NOT_TRUSTED")
        if origin is None or method in _READS:
            return
        is_same = host is not None and urlsplit(origin).netloc.lower() == host.lower()
        if not is_same and origin.lower() not in self._origins:
            raise NotAuthorised("the Origin of this request is none of TRUSTED_ORIGINS", code="ORIGIN_NOT_TRUSTED")

    def _trusts(self, host: str) -> bool:
        name = _name_of(host)
        if self._hosts is None or name in self._hosts or _is_address(name):
            return True
        return any(one.startswith("*.") and name.endswith(one[1:]) for one in self._hosts)


def _name_of(host: str) -> str:
    """The host without its port and without the brackets of IPv6, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _listed(text: str) -> frozenset[str]:
    return frozenset(part.strip().lower().rstrip("/") for part in text.split(",") if part.strip())
