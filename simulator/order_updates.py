"""Order updates to clients: to the user's sockets and to the app's postback URL, with the faults of pushes.

As at Kite, an update is sent once, without a replay and without a guaranteed order. A postback waits in a bounded
queue; when the queue is full, the newest is dropped and counted.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import httpx

from simulator.envelope import encode_json
from simulator.exchange.accounts.users import Accounts
from simulator.exchange.orders.order import HistoryRow, Order
from simulator.exchange.orders.rows import update_payload
from simulator.exchange.steps.atomic_step import Audience
from simulator.exchange.steps.delayed_steps import CallLater
from simulator.faults.registry import Fault, FaultRegistry, MatchFacts

QUEUE_MAX: Final = 1_000
TIMEOUT_S: Final = 5.0

Payload = Mapping[str, object]
PushToSockets = Callable[[str, Payload], None]


class Postbacks:
    """Posts payloads to postback URLs, one after another. `run` is the loop; `enqueue` never waits."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(maxsize=QUEUE_MAX)
        self.delivered = 0
        self.failed = 0
        self.dropped = 0

    def enqueue(self, url: str, payload: Payload) -> None:
        try:
            self._queue.put_nowait((url, encode_json(payload)))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Posts until cancelled; each payload once, because Kite documents no retries.

        The HTTP client is created with the first payload: it loads certificates, which takes a while.
        """
        url, body = await self._queue.get()
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            while True:
                await self._post(client, url, body)
                url, body = await self._queue.get()

    async def _post(self, client: httpx.AsyncClient, url: str, body: bytes) -> None:
        try:
            response = await client.post(url, content=body, headers={"Content-Type": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL):
            self.failed += 1
            return
        if response.is_success:
            self.delivered += 1
        else:
            self.failed += 1

    def stats(self) -> dict[str, int]:
        """How many postbacks were delivered, failed and dropped."""
        return {"delivered": self.delivered, "failed": self.failed, "dropped": self.dropped}


class Updates:
    """Turns a change of an order into updates. Called synchronously at the end of a step, so it never waits."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        faults: FaultRegistry,
        postbacks: Postbacks,
        push_to_sockets: PushToSockets,
        now: Callable[[], datetime],
        call_later: CallLater,
    ) -> None:
        self._accounts = accounts
        self._faults = faults
        self._postbacks = postbacks
        self._push_to_sockets = push_to_sockets
        self._now = now
        self._call_later = call_later
        self._held_back: dict[str, list[tuple[Payload, Audience]]] = {}
        """By user id: updates that a `reorder_update` fault delays."""

    def notify(self, order: Order, *, state: HistoryRow, as_status: str, audience: Audience) -> None:
        """Implements `Notify`: sends, drops, doubles or delays the update of one change."""
        account = self._accounts.get(order.user_id)
        if account is None:
            return
        payload = update_payload(order, state, app_id=account.app_id, api_secret=account.api_secret, status=as_status)
        facts = MatchFacts(user_id=order.user_id, tag=order.request.tag, status=as_status)
        struck = {fault.kind: fault for fault in self._faults.take(facts, "update")}
        reorder = struck.get("reorder_update")
        if reorder is not None:
            self._hold_back(order.user_id, payload, audience, fault=reorder)
            return
        copies = 1 + (struck["duplicate_update"].number("copies") if "duplicate_update" in struck else 0)
        for _ in range(copies):
            self._deliver(order.user_id, payload, audience, dropped=struck.get("drop_update"))
        self._release(order.user_id)

    def _deliver(self, user_id: str, payload: Payload, audience: Audience, *, dropped: Fault | None = None) -> None:
        channel = dropped.text("channel") if dropped else ""
        if channel not in ("both", "socket"):
            self._push_to_sockets(user_id, payload)
        account = self._accounts.get(user_id)
        if audience == "everyone" and channel not in ("both", "postback") and account and account.postback_url:
            self._postbacks.enqueue(account.postback_url, payload)

    def _hold_back(self, user_id: str, payload: Payload, audience: Audience, *, fault: Fault) -> None:
        """Delays an update until the user's next one was sent, or the fault's time is over."""
        self._held_back.setdefault(user_id, []).append((payload, audience))
        self._call_later(fault.number("ms") / 1000, lambda: self._release(user_id))

    def _release(self, user_id: str) -> None:
        for payload, audience in self._held_back.pop(user_id, []):
            self._deliver(user_id, payload, audience)
