"""Readers of the order stream: they lose their connection, resume, and record every event that they see."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from chaos.history import Seen
from chaos.stack import API_KEY, Replica

SILENCE_S = 20.0
PING_S = 15.0
LONGEST_JITTER_S = 5.0
"""A subscriber that was disconnected returns after a random time, so that not all return to one replica at once."""


@dataclass(slots=True)
class _Segment:
    """The events after one snapshot; ``start`` is the number of the last event in it."""

    start: int
    events: list[tuple[int, str]] = field(default_factory=list)


class Subscriber:
    """``run`` reads until cancelled; ``seen`` returns what it saw, with an entry for each snapshot.

    It disconnects by itself every ``leaves_after_s`` on average; with None it stays until it is disconnected.
    """

    def __init__(
        self,
        name: str,
        account_id: str,
        replicas: Sequence[Replica],
        *,
        seed: int,
        leaves_after_s: float | None = 10.0,
    ) -> None:
        self.counts: Counter[str] = Counter()
        """Connections by how they began."""

        self.last_seq = 0
        """The number of the last event that it saw."""

        self._name = name
        self._account_id = account_id
        self._replicas = replicas
        self._leaves_after_s = leaves_after_s
        self._random = random.Random(seed)
        self._segments: list[_Segment] = []
        self._epoch: str | None = None

    def seen(self) -> list[Seen]:
        if not self._segments:  # it never got a connection, so it has missed every event
            return [Seen(subscriber=self._name, account_id=self._account_id, start=0, events=(), complete=True)]
        last = len(self._segments) - 1
        return [
            Seen(
                subscriber=f"{self._name}/{number}",
                account_id=self._account_id,
                start=segment.start,
                events=tuple(segment.events),
                complete=number == last,
            )
            for number, segment in enumerate(self._segments)
        ]

    async def run(self) -> None:
        while True:
            replica = self._random.choice(self._replicas)
            url = f"{replica.url.replace('http', 'ws')}/advanced/ws/orders/{self._account_id}"
            with suppress(OSError, TimeoutError, WebSocketException, InvalidHandshake):
                async with connect(url, proxy=None, open_timeout=3, close_timeout=1, ping_interval=None) as socket:
                    await self._read(socket, stay_s=self._stay_s())
            self.counts["reconnects"] += 1
            await asyncio.sleep(
                0.2 if self._leaves_after_s is not None else self._random.uniform(0.2, LONGEST_JITTER_S)
            )

    def _stay_s(self) -> float:
        return math.inf if self._leaves_after_s is None else self._random.expovariate(1 / self._leaves_after_s)

    async def _read(self, socket: ClientConnection, *, stay_s: float) -> None:
        auth: dict[str, Any] = {"type": "auth", "api_key": API_KEY}
        if self._epoch is not None:
            auth["resume"] = {"epoch": self._epoch, "seq": self.last_seq}
        await socket.send(json.dumps(auth))
        loop = asyncio.get_running_loop()
        leave_at, ping_at = loop.time() + stay_s, loop.time() + PING_S
        while loop.time() < leave_at:
            async with asyncio.timeout(min(SILENCE_S, leave_at - loop.time())):
                text = await socket.recv()
            self._take(str(text))
            if loop.time() > ping_at:
                ping_at = loop.time() + PING_S
                await socket.send("ping")

    def _take(self, text: str) -> None:
        if text == "pong":
            return
        message = json.loads(text)
        match message["type"]:
            case "authenticated":
                self._epoch = message["epoch"]
                self.counts["resumed" if message["resumed"] else "from a snapshot"] += 1
                if message["resumed"] and not self._segments:  # the first connection broke before its snapshot
                    self._segments.append(_Segment(start=self.last_seq))
            case "snapshot":
                self._segments.append(_Segment(start=message["seq"]))
                self.last_seq = message["seq"]
            case "order_update":
                self._segments[-1].events.append((message["seq"], sha256(text.encode()).hexdigest()[:16]))
                self.last_seq = max(self.last_seq, message["seq"])
