"""The faults at the broker: answers, orders, books, pushes and logins. Each is set at the simulator, and ends."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import httpx

from chaos.fault_kinds import ANSWER_FAULTS, BOOK_FAULTS, ORDER_FAULTS, PUSH_FAULTS, WRITES
from chaos.load import SYMBOLS
from chaos.stack import ACCOUNTS

LOGIN_S = 18.0
"""The service tries a refused token again after fifteen seconds."""


class BrokerFaults:
    """Each method is one fault. ``counts`` has the number of each kind that has struck."""

    def __init__(
        self, http: httpx.AsyncClient, simulator_url: str, *, counts: Counter[str], rng: random.Random
    ) -> None:
        self._http = http
        self._url = simulator_url
        self._counts = counts
        self._random = rng
        self._login_died_at = -LOGIN_S
        self._a_login_is_dead = False

    async def answer_fault(self) -> None:
        method, path = self._random.choices(WRITES, weights=(6, 1, 2))[0]
        kind, params = self._random.choice(ANSWER_FAULTS)
        if kind == "timeout_400_then_placed" and method != "POST":
            return
        await self._set_fault(kind, params, method=method, path=path)

    async def order_fault(self) -> None:
        kind, params = self._random.choice(ORDER_FAULTS)
        await self._set_fault(kind, params, method="POST", path="/orders/*")

    async def book_fault(self) -> None:
        kind, params = self._random.choice(BOOK_FAULTS)
        await self._set_fault(kind, params, method="GET", path="/orders", times=self._random.randint(1, 4))

    async def late_order(self) -> None:
        await self._set_fault("late_visible", {"ms": 4000}, method="POST", path="/orders/*")

    async def lost_tags(self) -> None:
        await self._set_fault("tag_null", {}, method="GET", path="/orders", times=2)

    async def lose_answers(self, *, share: float) -> None:
        """From now on so many of the answers to placements are lost after the exchange has the order."""
        body = {"kind": "drop_after_accept", "method": "POST", "path": "/orders/*", "times": -1, "probability": share}
        (await self._http.post(f"{self._url}/_sim/faults", json=body)).raise_for_status()

    async def push_fault(self) -> None:
        kind, params = self._random.choice(PUSH_FAULTS)
        await self._set_fault(kind, params, method="*", path="*", times=self._random.randint(1, 4))

    async def login_dies(self) -> None:
        """The account's token is refused, and after a while accepted again."""
        user_id, *_ = self._random.choice(list(ACCOUNTS.values()))
        self._counts["login dead"] += 1
        self._a_login_is_dead = True
        await self._set_login(user_id, expired=True)
        await asyncio.sleep(self._random.uniform(2.0, 8.0))
        await self._set_login(user_id, expired=False)
        self._note_revival()

    async def revive_logins(self) -> None:
        """Every token is accepted, and has been for as long as the service waits before it tries a refused one."""
        for user_id, *_ in ACCOUNTS.values():
            await self._set_login(user_id, expired=False)
        if self._a_login_is_dead:  # the fault was cancelled in its midst
            self._note_revival()
        await asyncio.sleep(self._login_died_at + LOGIN_S - asyncio.get_running_loop().time())

    def _note_revival(self) -> None:
        self._a_login_is_dead = False
        self._login_died_at = asyncio.get_running_loop().time()

    async def count_spent(self) -> None:
        """Count those that can strike no more, and remove them: the simulator keeps a thousand at most."""
        for fault in (await self._http.get(f"{self._url}/_sim/faults")).json():
            if 0 <= fault["times"] <= fault["struck"]:
                await self._remove(fault)

    async def clear(self) -> None:
        """None is left, all are counted, and prices are those around which the orders lie."""
        for fault in (await self._http.get(f"{self._url}/_sim/faults")).json():
            await self._remove(fault)
        await self.set_prices()

    async def set_prices(self) -> None:
        """Sets the prices around which the orders lie, and stops the simulated ones."""
        prices = {f"NSE:{symbol}": {"last_price": price} for symbol, price in SYMBOLS.items()}
        body = {"ticks_per_second": 0, "instruments": prices}
        (await self._http.post(f"{self._url}/_sim/market", json=body)).raise_for_status()

    async def _remove(self, fault: dict[str, Any]) -> None:
        if fault["struck"]:
            self._counts[f"broker {fault['method']} {fault['kind']}".replace("* ", "push ")] += fault["struck"]
        await self._http.delete(f"{self._url}/_sim/faults/{fault['fault_id']}")

    async def _set_login(self, user_id: str, *, expired: bool) -> None:
        body = {"user_id": user_id, "expired": expired}
        (await self._http.post(f"{self._url}/_sim/session", json=body)).raise_for_status()

    async def _set_fault(self, kind: str, params: dict[str, Any], *, method: str, path: str, times: int = 1) -> None:
        body = {"kind": kind, "params": params, "method": method, "path": path, "times": times}
        (await self._http.post(f"{self._url}/_sim/faults", json=body)).raise_for_status()
