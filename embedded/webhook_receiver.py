"""Registers a webhook at the running service and receives its events: a small example of a receiver.

It verifies each request with the official library of Standard Webhooks, before it believes a word of it, and recognises
repeats by ``webhook-id``.
"""

import json
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from standardwebhooks import Webhook, WebhookVerificationError

LOOPBACK = "127.0.0.1"
TIMEOUT_S = 15.0
MAX_BODY_BYTES = 1_000_000
DESCRIPTION = "python -m embedded.watch webhooks"


def follow_webhooks(run: dict[str, Any]) -> Iterator[str]:
    """A line for each delivery; the webhook is removed at the end. ``run`` is what run.json says."""
    received: queue.Queue[tuple[Mapping[str, str], bytes]] = queue.Queue()
    headers = {"X-API-Key": run["api_key"]}
    with (
        _receiving(received) as port,
        httpx.Client(base_url=run["url"], headers=headers, trust_env=False, timeout=TIMEOUT_S) as client,
    ):
        _remove_former(client)
        url = f"http://{LOOPBACK}:{port}/"
        answer = client.post("/advanced/webhooks", json={"url": url, "description": DESCRIPTION})
        if answer.is_error:
            raise OSError(f"the webhook was not registered: {answer.text}")
        made = answer.json()
        try:
            yield f"webhook {made['webhook_id']} sends the events of {made['account_id']} to {url}"
            seen: set[str] = set()
            while True:
                yield render_delivery(*received.get(), secret=made["secret"], seen=seen)
        finally:
            client.delete(f"/advanced/webhooks/{made['webhook_id']}")


def render_delivery(headers: Mapping[str, str], body: bytes, *, secret: str, seen: set[str]) -> str:
    """``verified  msg_0f..  seq 7  order_completed  {...}``; ``seen`` are the ids that came before."""
    message_id = headers.get("webhook-id", "without an id")
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError as error:
        return f"REFUSED   {message_id}  {error}"
    repeated = "repeated" if message_id in seen else "verified"
    seen.add(message_id)
    message = json.loads(body)
    return f"{repeated}  {message_id}  seq {message['seq']}  {message['type']}  {json.dumps(message['data'])}"


def _remove_former(client: httpx.Client) -> None:
    """Those of earlier runs of this command that could not remove theirs."""
    answer = client.get("/advanced/webhooks")
    for webhook in answer.json()["data"] if answer.is_success else ():
        if webhook["description"] == DESCRIPTION:
            client.delete(f"/advanced/webhooks/{webhook['webhook_id']}")


@contextmanager
def _receiving(received: "queue.Queue[tuple[Mapping[str, str], bytes]]") -> Iterator[int]:
    """A server on a free port, which puts each request into the queue and answers 204."""

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT_S

        def do_POST(self) -> None:
            body = self.rfile.read(min(int(self.headers.get("content-length", 0)), MAX_BODY_BYTES))
            received.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def _answer(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's own name
            """Nothing: the lines of this command are the deliveries."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
