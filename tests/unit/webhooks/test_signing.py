"""The official library of Standard Webhooks verifies what this service signs."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from app.webhooks.signing import secret_of, signed_headers


def now() -> int:
    return int(datetime.now(UTC).timestamp())


@given(key=st.binary(min_size=32, max_size=32), text=st.text(max_size=50))
def test_the_official_library_verifies_a_signature(key: bytes, text: str) -> None:
    """Any secret, any text in the body."""
    body = ('{"data": "' + text.encode("unicode_escape").hex() + '"}').encode()
    headers = signed_headers(message_id="msg_1", timestamp=now(), body=body, secrets=[secret_of(key)])
    assert Webhook(secret_of(key)).verify(body, headers)


def test_both_secrets_of_a_rotation_verify() -> None:
    """The receiver may have either; a third one verifies nothing."""
    new, old, other = (secret_of(bytes([one]) * 32) for one in (1, 2, 3))
    headers = signed_headers(message_id="msg_1", timestamp=now(), body=b'{"a":1}', secrets=[new, old])
    assert Webhook(new).verify(b'{"a":1}', headers) == {"a": 1}
    assert Webhook(old).verify(b'{"a":1}', headers) == {"a": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(b'{"a":1}', headers)


@pytest.mark.parametrize("change", ["body", "id", "timestamp"])
def test_a_changed_request_does_not_verify(change: str) -> None:
    """Body, id and time are all signed."""
    secret = secret_of(b"k" * 32)
    body = b'{"a":1}'
    headers = signed_headers(message_id="msg_1", timestamp=now(), body=body, secrets=[secret])
    if change == "body":
        body = b'{"a":2}'
    else:
        headers |= {"webhook-id": "msg_2"} if change == "id" else {"webhook-timestamp": str(now() - 100)}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_a_secret_has_the_form_of_the_standard() -> None:
    """`whsec_` and base64; a repeat on request says so in a header."""
    assert secret_of(b"\x00" * 24) == "whsec_" + "A" * 32
    headers = signed_headers(message_id="m", timestamp=1, body=b"", secrets=[secret_of(b"k" * 32)], replayed=True)
    assert headers["webhook-replay"] == "1"
    assert "webhook-replay" not in signed_headers(message_id="m", timestamp=1, body=b"", secrets=[])
