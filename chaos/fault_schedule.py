"""The faults of a run: which, how often, how long. Every choice comes from one seeded source; every fault ends.

Each kind has a mean time between two faults, chosen for the default run of three minutes: each happens at least once or
twice then.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import redis.asyncio

from chaos.broker_faults import BrokerFaults
from chaos.database_faults import DatabaseFaults
from chaos.fault_kinds import BOTH, TOXICS
from chaos.history import Halt
from chaos.proxy import FaultProxy, Toxic
from chaos.stack import ACCOUNTS, API_KEY, Replica, Stack


class FaultSchedule:
    """``run`` causes faults until cancelled; ``clear`` ends what is left of them.

    ``counts`` has the number of each kind, ``halts`` the operator's halts; ``broker`` has the faults there.
    """

    def __init__(self, stack: Stack, redis_proxy: FaultProxy, *, seed: int, longest_outage_s: float) -> None:
        self.counts: Counter[str] = Counter()
        self.halts: list[Halt] = []
        self._stack = stack
        self._redis_proxy = redis_proxy
        self._random = random.Random(seed)
        self._database = DatabaseFaults(
            stack, counts=self.counts, rng=random.Random(seed + 1), longest_s=longest_outage_s
        )
        self._http = httpx.AsyncClient(trust_env=False, timeout=5.0)
        self.broker = BrokerFaults(self._http, stack.simulator_url, counts=self.counts, rng=random.Random(seed + 2))

    async def run(self) -> None:
        await self._cause(
            (0.8, self.broker.answer_fault),
            (2.5, self.broker.order_fault),
            (8.0, self.broker.book_fault),
            (4.0, self.broker.push_fault),
            (7.0, self._broker_network),
            (12.0, self._database_network),
            (15.0, self._redis_network),
            (20.0, self._broker_refuses),
            (25.0, self._answers_twice),
            (16.0, self._kill),
            (45.0, self._roll),
            (14.0, self._pause),
            (50.0, self._database.restart),
            (110.0, self._database.outage),
            (20.0, self._database.stall),
            (40.0, self._database.slow_commits),
            (60.0, self.broker.login_dies),
            (30.0, self._redis_flush),
            (60.0, self._redis_restarts),
            (40.0, self._halt),
            (60.0, self.broker.count_spent),
        )

    async def _cause(self, *kinds: tuple[float, Callable[[], Awaitable[None]]]) -> None:
        """Each kind again and again, at random times around its mean in seconds."""
        async with asyncio.TaskGroup() as tasks:
            for mean_s, act in kinds:
                tasks.create_task(self._repeat(mean_s, act), name=act.__name__)

    async def run_around_a_loss(self) -> None:
        """What makes a loss of the database worse, until cancelled: late orders, lost tags and answers, kills."""
        await self._cause(
            (1.5, self.broker.late_order),
            (4.0, self.broker.lost_tags),
            (2.0, self.broker.answer_fault),
            (12.0, self._kill),
        )

    async def clear(self) -> None:
        """Ends every fault and halt, starts what was stopped, and fixes the prices."""
        self._redis_proxy.toxics = ()
        await self._database.clear()
        await self.broker.clear()
        for replica in self._stack.replicas:
            replica.signal(signal.SIGCONT)
            for proxy in (replica.broker, replica.database):
                proxy.toxics = ()
                await proxy.start_listening()
            if replica.child is None or replica.child.exit_code() is not None:
                replica.start()
        for replica in self._stack.replicas:
            await replica.wait_until_live(self._http)
        await self._lift_all_halts()
        await self.broker.revive_logins()

    async def close(self) -> None:
        await self._http.aclose()

    async def _repeat(self, mean_s: float, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0.4, 1.6) * mean_s)
            await act()

    # --- on the network

    async def _broker_network(self) -> None:
        replica = self._random.choice(self._stack.replicas)
        await self._disturb(replica.broker, "broker network")

    async def _database_network(self) -> None:
        replica = self._random.choice(self._stack.replicas)
        await self._disturb(replica.database, "database network")

    async def _redis_network(self) -> None:
        await self._disturb(self._redis_proxy, "redis network")

    async def _disturb(self, proxy: FaultProxy, where: str) -> None:
        kind, numbers = self._random.choice(TOXICS)
        directions = frozenset(self._random.sample(BOTH, k=self._random.randint(1, 2)))
        self.counts[f"{where} {kind}"] += 1
        proxy.toxics = (Toxic(kind=kind, directions=directions, **numbers),)
        await asyncio.sleep(self._random.uniform(0.5, 4.0))
        proxy.toxics = ()

    async def _broker_refuses(self) -> None:
        """Connections are refused, which proves that nothing was sent."""
        proxy = self._random.choice(self._stack.replicas).broker
        self.counts["broker network refused"] += 1
        proxy.stop_listening()
        proxy.cut()
        await asyncio.sleep(self._random.uniform(0.2, 1.5))
        await proxy.start_listening()

    async def _answers_twice(self) -> None:
        """The broker's edge repeats an answer on a connection that is kept: the next request would read the second."""
        proxy = self._random.choice(self._stack.replicas).broker
        self.counts["broker answers twice"] += 1
        proxy.toxics = (Toxic(kind="repeat", directions=frozenset({"down"})),)
        await asyncio.sleep(self._random.uniform(0.3, 1.5))
        proxy.toxics = ()

    # --- processes

    async def _kill(self) -> None:
        await self._restart("kill")

    async def _roll(self) -> None:
        await self._restart("term")

    async def _restart(self, how: str) -> None:
        replica = self._any_free()
        async with replica.busy:
            self.counts["kill -9" if how == "kill" else "orderly restart"] += 1
            await replica.end("kill" if how == "kill" else "term")
            await asyncio.sleep(self._random.uniform(0.1, 3.0))
            replica.start()
            await self._wait(replica)

    def _any_free(self) -> Replica:
        """A replica that no other fault is stopping or starting, if there is one."""
        free = [replica for replica in self._stack.replicas if not replica.busy.locked()]
        return self._random.choice(free or self._stack.replicas)

    async def _pause(self) -> None:
        """SIGSTOP for 1 to 15 s: for less or more than the time of a lease."""
        replica = self._any_free()
        async with replica.busy:
            self.counts["SIGSTOP"] += 1
            replica.signal(signal.SIGSTOP)
            await asyncio.sleep(self._random.choice([self._random.uniform(1, 4), self._random.uniform(8, 15)]))
            replica.signal(signal.SIGCONT)

    async def _wait(self, replica: Replica) -> None:
        """Waits until the replica answers; one that could not start, for want of a database, is started again."""
        for _ in range(20):
            try:
                await replica.wait_until_live(self._http)
            except RuntimeError:
                self.counts["start refused"] += 1
                await asyncio.sleep(1.0)
                replica.start()
            else:
                return

    async def _redis_restarts(self) -> None:
        self.counts["Redis restart"] += 1
        await self._stack.restart_redis(self._redis_proxy)

    async def _redis_flush(self) -> None:
        self.counts["Redis FLUSHALL"] += 1
        client = redis.asyncio.Redis.from_url(self._stack.redis.url, socket_timeout=2.0)
        try:
            await client.flushall()
        except redis.RedisError:
            self.counts["Redis FLUSHALL"] -= 1
        finally:
            await client.aclose()

    # --- the operator

    async def _halt(self) -> None:
        scope = self._random.choice([*ACCOUNTS, "*"])
        body = {"scope": "global"} if scope == "*" else {"scope": "account", "account_id": scope}
        mode = self._random.choice(["halt", "reduce_only"])
        if not await self._admin("kill", body | {"reason": "chaos", "mode": mode}):
            return
        began_at = datetime.now(UTC)
        self.counts[mode] += 1
        await asyncio.sleep(self._random.uniform(1.0, 12.0))
        ended_at = datetime.now(UTC) - timedelta(milliseconds=50)
        self.halts.append(
            Halt(scope=scope, began_at=began_at, ended_at=ended_at, reductions_pass=mode == "reduce_only")
        )
        for _ in range(60):
            if await self._admin("resume", body | {"reason": "chaos"}):
                return
            await asyncio.sleep(0.5)

    async def _lift_all_halts(self) -> None:
        for body in ({"scope": "global"}, *({"scope": "account", "account_id": account} for account in ACCOUNTS)):
            await self._admin("resume", {**body, "reason": "end of the run"})

    async def _admin(self, what: str, body: dict[str, Any]) -> bool:
        """Posts to one replica after the other until one answers; whether one did."""
        for replica in self._random.sample(self._stack.replicas, k=len(self._stack.replicas)):
            try:
                url = f"{replica.url}/admin/{what}"
                answer = await self._http.post(url, json=body, headers={"X-API-Key": API_KEY})
            except httpx.HTTPError:
                continue
            if answer.status_code < 500:
                return True
        return False
