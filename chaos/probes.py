"""Looks at the replicas from outside: does an order go again, what does health say, are accounts walls?"""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import httpx

from chaos.observations import HealthSample, Observations, Recovery, TimedAnswer, WallCheck
from chaos.outcome_checks import RECOVERS_S
from chaos.stack import ACCOUNTS, API_KEY, Replica, Stack

TIMEOUT_S = 12.0
LOOK_EVERY_S = 1.0
GIVES_UP_S = 2 * RECOVERS_S
WALL_ORDERS = 15
ORDER: dict[str, Any] = {
    "exchange": "NSE",
    "tradingsymbol": "ITC",
    "transaction_type": "BUY",
    "quantity": 1,
    "product": "MIS",
    "order_type": "LIMIT",
    "price": 430,
}
"""It rests below the market."""

_HEADERS = {"X-API-Key": API_KEY}


class Probes:
    """``recoveries``, ``health`` and ``walls`` have what was seen so far."""

    def __init__(self, stack: Stack) -> None:
        self.recoveries: list[Recovery] = []
        self.health: list[HealthSample] = []
        self.walls: list[WallCheck] = []
        self._stack = stack
        self._numbers = itertools.count()

    def observed(
        self, *, answers: Sequence[TimedAnswer], residuals: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    ) -> Observations:
        """All of it, with what the clients saw."""
        return Observations(
            recoveries=self.recoveries,
            health=self.health,
            walls=self.walls,
            answers=answers,
            residuals=residuals,
        )

    async def read_residuals(self) -> dict[str, dict[str, int]]:
        """What the service says is left of its rolled back batches, by batch and tradingsymbol."""
        found: dict[str, dict[str, int]] = {}
        cursor: str | None = None
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S, headers=_HEADERS) as http:
            while True:
                params = {"limit": "100"} | ({} if cursor is None else {"cursor": cursor})
                answer = await http.get(f"{self._stack.replicas[0].url}/advanced/batch-orders", params=params)
                page = answer.raise_for_status().json()
                for batch in page["data"]:
                    left = Counter[str]()
                    for one in batch["residual"]:
                        left[one["tradingsymbol"]] += one["quantity"]
                    found[batch["batch_id"]] = dict(left)
                cursor = page["next_cursor"]
                if cursor is None:
                    return found

    @asynccontextmanager
    async def following_health(self) -> AsyncIterator[None]:
        """Inside the block every replica is asked each second."""
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(self._follow(replica)) for replica in self._stack.replicas]
            try:
                yield
            finally:
                for task in following:
                    task.cancel()

    async def _follow(self, replica: Replica) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=2 * LOOK_EVERY_S, headers=_HEADERS) as http:
            while True:
                at = datetime.now(UTC)
                try:
                    answer = (await http.get(f"{replica.url}/health")).json()
                except (httpx.HTTPError, ValueError):
                    answer = {}
                for account in answer.get("orders", {}).get("accounts", []):
                    reasons = tuple(account["reasons"])
                    sample = HealthSample(
                        at=at, replica=replica.name, account_id=account["account_id"], reasons=reasons
                    )
                    self.health.append(sample)
                await asyncio.sleep(LOOK_EVERY_S)

    async def recover(self, after: str) -> None:
        """Send orders on every account through every replica until one of each is placed."""
        began_at = datetime.now(UTC)
        pairs = [(account_id, replica) for account_id in ACCOUNTS for replica in self._stack.replicas]
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S, headers=_HEADERS) as http:
            took = await asyncio.gather(*(self._until_placed(http, *pair) for pair in pairs))
        for (account_id, replica), seconds in zip(pairs, took, strict=True):
            recovery = Recovery(
                account_id=account_id, replica=replica.name, after=after, began_at=began_at, seconds=seconds
            )
            self.recoveries.append(recovery)

    async def _until_placed(self, http: httpx.AsyncClient, account_id: str, replica: Replica) -> float | None:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        while loop.time() < began_at + GIVES_UP_S:
            if await self._place(http, account_id, replica):
                return loop.time() - began_at
            await asyncio.sleep(0.2)
        return None

    async def _place(self, http: httpx.AsyncClient, account_id: str, replica: Replica) -> bool:
        """Whether an order is at the broker within three seconds."""
        key = f"probe-{next(self._numbers):012d}"
        try:
            answer = await http.post(
                f"{replica.url}/orders",
                params={"wait": 3},
                json=ORDER | {"account_id": account_id},
                headers={"Idempotency-Key": key},
            )
        except httpx.HTTPError:
            return False
        return answer.status_code == 201 and answer.json()["status"] == "completed"

    async def test_walls(self, broken: str, others: Sequence[str]) -> None:
        """The login of one account dies; the orders of the others go on as before."""
        replica = self._stack.replicas[0]
        user_id = ACCOUNTS[broken][0]
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S, headers=_HEADERS) as http:
            before = {account_id: await self._median_s(http, account_id, replica) for account_id in others}
            await self._set_login(http, user_id, expired=True)
            try:
                async with asyncio.TaskGroup() as tasks:
                    asking = tasks.create_task(self._keep_placing(http, broken, replica))
                    during = {account_id: await self._median_s(http, account_id, replica) for account_id in others}
                    asking.cancel()
            finally:
                await self._set_login(http, user_id, expired=False)
                await self._log_in(http, broken, replica)
        for account_id in others:
            wall = WallCheck(
                account_id=account_id,
                broken=f"the login of {broken} was dead",
                before_s=before[account_id],
                during_s=during[account_id],
            )
            self.walls.append(wall)

    async def _median_s(self, http: httpx.AsyncClient, account_id: str, replica: Replica) -> float:
        loop = asyncio.get_running_loop()
        took = []
        for _ in range(WALL_ORDERS):
            began_at = loop.time()
            await self._place(http, account_id, replica)
            took.append(loop.time() - began_at)
            await asyncio.sleep(0.15)  # below the broker's rate limit
        return statistics.median(took)

    async def _keep_placing(self, http: httpx.AsyncClient, account_id: str, replica: Replica) -> None:
        while True:
            await self._place(http, account_id, replica)

    async def _set_login(self, http: httpx.AsyncClient, user_id: str, *, expired: bool) -> None:
        body = {"user_id": user_id, "expired": expired}
        (await http.post(f"{self._stack.simulator_url}/_sim/session", json=body)).raise_for_status()

    async def _log_in(self, http: httpx.AsyncClient, account_id: str, replica: Replica) -> None:
        body = {"access_token": ACCOUNTS[account_id][3]}
        (await http.post(f"{replica.url}/accounts/{account_id}/session", json=body)).raise_for_status()
