"""What the example of a receiver believes."""

import time

from app.webhooks.signing import secret_of, signed_headers
from embedded.webhook_receiver import render_delivery

SECRET = secret_of(b"s" * 32)
BODY = b'{"type":"order_completed","seq":7,"data":{"order_id":"1"}}'


def test_a_verified_delivery_is_one_line_and_a_repeat_says_so() -> None:
    """Repeats are recognised by their id."""
    headers = signed_headers(message_id="msg_1", timestamp=int(time.time()), body=BODY, secrets=[SECRET])
    seen: set[str] = set()
    line = render_delivery(headers, BODY, secret=SECRET, seen=seen)
    assert line == 'verified  msg_1  seq 7  order_completed  {"order_id": "1"}'
    assert render_delivery(headers, BODY, secret=SECRET, seen=seen).startswith("repeated  msg_1")


def test_a_request_of_someone_else_is_refused() -> None:
    """Another secret, an old time, no signature at all."""
    now = int(time.time())
    other = signed_headers(message_id="m", timestamp=now, body=BODY, secrets=[secret_of(b"x" * 32)])
    old = signed_headers(message_id="m", timestamp=now - 3600, body=BODY, secrets=[SECRET])
    for headers in (other, old, {}):
        assert render_delivery(headers, BODY, secret=SECRET, seen=set()).startswith("REFUSED")
