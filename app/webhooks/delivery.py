"""The loop that delivers, in every process: claim what is due, try it, store what came of it.

Processes share the work by claiming (``claim_store``). One that dies loses nothing: its claims run out, and another one
tries again under the same ``webhook-id``. The loop claims again as soon as results are stored, else every ``POLL_S``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

from loguru import logger

from app.db.postgres import Database
from app.errors import ServiceError, Unavailable
from app.webhooks import claim_store
from app.webhooks.attempt import Attempts
from app.webhooks.model import Claim
from app.webhooks.results import Result, store_results

MAX_IN_FLIGHT = 64
POLL_S = 0.25
DATABASE_RETRY_S = 1.0


class DeliveryLoop:
    """``run`` lives as long as the service; ``drain`` ends its work before the service stops. ``counts`` counts
    attempts by outcome."""

    def __init__(self, database: Database, *, attempts: Attempts) -> None:
        self._database = database
        self._attempts = attempts
        self._in_flight: dict[tuple[object, int], Claim] = {}
        self._results: list[Result] = []
        self._finished = asyncio.Event()
        self._stored = asyncio.Event()
        self._draining = False
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Deliver for as long as the service runs."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._store_results())
            while True:
                self._stored.clear()
                for claim in await self._claim():
                    self._in_flight[claim.delivery_id, claim.fence] = claim
                    group.create_task(self._attempt(claim))
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._stored.wait()

    async def drain(self, *, timeout_s: float) -> None:
        """Claim nothing more, wait for the attempts in flight, and let other processes have what is not over then."""
        self._draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._in_flight:
                    self._stored.clear()
                    await self._stored.wait()
        left = [(claim.delivery_id, claim.fence) for claim in self._in_flight.values()]
        if left:
            try:
                async with self._database.connection() as connection:
                    await claim_store.release(connection, left)
            except Unavailable as error:  # the claims run out by themselves
                logger.bind(deliveries=len(left)).warning("webhook claims not released: {}", error)

    async def _claim(self) -> list[Claim]:
        free = MAX_IN_FLIGHT - len(self._in_flight)
        if self._draining or free <= 0:
            return []
        busy = Counter(claim.webhook_id for claim in self._in_flight.values())
        try:
            async with self._database.connection() as connection:
                return await claim_store.claim(connection, in_flight=busy, limit=free)
        except ServiceError as error:
            logger.debug("no webhook deliveries claimed: {}", error)
            await asyncio.sleep(DATABASE_RETRY_S)
            return []

    async def _attempt(self, claim: Claim) -> None:
        stored, decision = await self._attempts.make(claim)
        self.counts[decision.outcome.value] += 1
        self._results.append(Result(claim=claim, stored=stored, decision=decision))
        self._finished.set()

    async def _store_results(self) -> None:
        """An attempt stays in flight until its result is stored: a slow database slows the deliveries down."""
        while True:
            await self._finished.wait()
            self._finished.clear()
            results, self._results = self._results, []
            while True:
                try:
                    await store_results(self._database, results)
                    break
                except ServiceError as error:
                    logger.bind(deliveries=len(results)).warning("webhook results not stored yet: {}", error)
                    await asyncio.sleep(DATABASE_RETRY_S)
            for one in results:
                del self._in_flight[one.claim.delivery_id, one.claim.fence]
            self._stored.set()
