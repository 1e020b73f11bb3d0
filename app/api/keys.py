"""Which caller has this key? For the ``X-API-Key`` header, and for the first message of a WebSocket.

There is one key, that of the settings, and beside it the one before while clients change over. Keys are compared by
digest and in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from app.config import Settings
from app.errors import SettingsError

API_KEY_HEADER = "X-API-Key"
MAX_KEY_LENGTH = 256
PROBE_PATHS = frozenset({"/health", "/health/live", "/health/ready"})
_OPEN_PATHS = PROBE_PATHS | {"/metrics"}
_POSTBACK = "/postback/"
_DEFAULT = "default"
DOCS_PATHS = frozenset({"/docs", "/openapi.json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller. ``accounts`` None means every account; ``key_id`` names the key without revealing it.

    ``client`` is the stable name that an operator gives to the holder of the key; None where it is the key's own.
    """

    key_id: str
    accounts: frozenset[str] | None = None
    client: str | None = None

    @property
    def client_name(self) -> str:
        """To whom idempotency keys belong: an order that is repeated under another key of one client is the same."""
        return self.client or self.key_id


class ApiKeys:
    """``authenticate`` finds the caller of a key; ``allowed`` says whether a caller may use an account."""

    def __init__(self, keys: dict[str, Principal], *, anonymous: Principal | None = None) -> None:
        self._by_digest = [(_digest(key), principal) for key, principal in keys.items()]
        self._anonymous = anonymous

    @classmethod
    def from_settings(cls, settings: Settings) -> ApiKeys:
        """The key of the settings, or every caller as anonymous. Raises SettingsError when the key is missing."""
        if not settings.api_key_enabled:
            return cls({}, anonymous=Principal(key_id="anonymous"))
        key = settings.api_key.get_secret_value()
        if not key:
            raise SettingsError("API_KEY", wants="the key that clients send (or API_KEY_ENABLED=false in development)")
        client = settings.api_client or None
        found = {key: Principal(key_id=_DEFAULT, client=client)}
        if old := settings.api_key_old.get_secret_value():
            found[old] = Principal(key_id="old", client=client or _DEFAULT)
        return cls(found)

    def authenticate(self, key: str | None) -> Principal | None:
        """The caller with this ``key``, or None. Takes the same time for every wrong key."""
        if self._anonymous is not None:
            return self._anonymous
        if key is None or len(key) > MAX_KEY_LENGTH:
            return None
        presented = _digest(key)
        found = None
        for digest, principal in self._by_digest:
            if hmac.compare_digest(digest, presented):
                found = principal
        return found

    def allowed(self, principal: Principal, account_id: str) -> bool:
        """May this caller use the account? The account need not exist."""
        return principal.accounts is None or account_id in principal.accounts


def is_open_path(path: str) -> bool:
    """Probes, metrics and Kite's postback (which carries a checksum of its own) need no key."""
    return path in _OPEN_PATHS or path.startswith(_POSTBACK)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
