"""Signatures as Standard Webhooks defines them (https://www.standardwebhooks.com): secrets, and a request's headers.

Receivers verify with any library of that standard; the tests verify with the official ones.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence

SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that the standard gives to secrets


def secret_of(random_bytes: bytes) -> str:
    """A secret as it is shown to the client, once."""
    return SECRET_PREFIX + base64.b64encode(random_bytes).decode()


def signed_headers(
    *, message_id: str, timestamp: int, body: bytes, secrets: Sequence[str], replayed: bool = False
) -> dict[str, str]:
    """The headers of one request: ``timestamp`` is that of the attempt in Unix seconds, ``body`` exactly what is sent.

    With two ``secrets`` (the newest first) there are two signatures, while receivers change over.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(secret, signed) for secret in secrets),
    }
    return headers | ({"webhook-replay": "1"} if replayed else {})


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
