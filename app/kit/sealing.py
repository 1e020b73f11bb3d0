"""Secrets at rest: AES-256-GCM, bound to the row that they belong to: a copied ciphertext opens nowhere else."""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_VERSION = 1
_NONCE_BYTES = 12


class CannotOpen(Exception):
    """The ciphertext is not of this key and this row: another key was set, or the row was tampered with."""


class Sealer:
    """``key`` is 32 bytes; ``row`` names what the secret belongs to, and is authenticated with it."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, secret: str, *, row: str) -> bytes:
        """The secret encrypted, with a new nonce in front."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), row.encode())

    def open(self, sealed: bytes, *, row: str) -> str:
        """The secret that ``seal`` encrypted for this ``row``. Raises CannotOpen for any other key, row or bytes."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], row.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise CannotOpen(f"the secret of {row} cannot be opened with this key") from error
