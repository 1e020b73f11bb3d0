"""The database is put back to an older copy, or is gone: no retried key is placed a second time, in any of four ways.

Each way is tried with a service that starts on the copy, and under two replicas that go on running.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from app.broker.orders import OrderChanges, OrderType
from app.errors import Unavailable
from app.orders.entry.acceptance import Caller
from app.orders.entry.lost_requests import Recovering
from app.orders.entry.not_accepted import AcceptanceUnknown, NotAccepted
from app.orders.entry.outcome_wait import Answer
from simulator.server import RunningSimulator
from tests.faults.loss_environment import LOSSES, Cluster, Loss, running_cluster
from tests.order_environment import ACCOUNT, OPERATOR, Memory, OrderEnvironment, open_order_environment
from tests.order_waits import owns
from tests.waiting import until

Refused: TypeAlias = Recovering | AcceptanceUnknown | NotAccepted
"""What a client answers by repeating its request under the same key."""

KEYS = [f"key-of-the-client-{number}" for number in range(6)]


ANSWERED_WITHIN_S = 25.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path / "postgres") as running:
        yield running


@dataclass(slots=True)
class Replicas:
    """Environments on one database, which remember it in one place as replicas do in Redis."""

    cluster: Cluster
    simulator: RunningSimulator
    stack: AsyncExitStack
    memory: Memory = field(default_factory=Memory)
    running: list[OrderEnvironment] = field(default_factory=list)

    async def open(self) -> OrderEnvironment:
        opening = open_order_environment(self.cluster.url, self.simulator.url, records=[self.memory])
        environment = await self.stack.enter_async_context(opening)
        self.running.append(environment)
        return environment

    async def serve(self) -> bool:
        """Whether one of them owns the account and its database answers, after a copy that stopped the server."""
        try:
            await self.running[0].database.ping()
        except Unavailable:
            return False
        return any(environment.engine.is_owner(ACCOUNT) for environment in self.running)

    async def are_remembered(self) -> bool:
        return self.memory.record is not None

    async def crash(self) -> None:
        for environment in self.running:
            await environment.crash()
        self.running.clear()


@pytest.fixture
async def replicas(cluster: Cluster, simulator: RunningSimulator) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        yield Replicas(cluster, simulator, stack)


async def place_all(environment: OrderEnvironment, keys: list[str]) -> dict[str, str]:
    """Orders of several kinds, one for each key: resting, filled, modified, cancelled. Returns their ids."""
    placed: dict[str, str] = {}
    for key in keys:
        task = await environment.place(key=key, **terms_of(key))
        assert task["status"] == "completed", task
        placed[key] = task["order_id"]
    caller = Caller(principal="t")
    await until(lambda: shows(environment, placed[keys[-2]]))
    changes = OrderChanges(price=Decimal(1401), quantity=17)
    await environment.service.modify(placed[keys[-2]], changes, account_id=ACCOUNT, caller=caller, wait_s=10)
    await environment.service.cancel(placed[keys[-1]], account_id=ACCOUNT, caller=caller, wait_s=10)
    return placed


def terms_of(key: str) -> dict[str, Any]:
    terms: dict[str, Any] = {"quantity": 10 + KEYS.index(key)}
    return terms | ({"order_type": OrderType.MARKET, "price": None} if key == KEYS[2] else {})


async def shows(environment: OrderEnvironment, order_id: str) -> bool:
    environment.orders.wakeups.on_order_hint(ACCOUNT)
    async with environment.database.connection() as connection:
        cursor = await connection.execute("SELECT 1 FROM broker_order WHERE order_id = %s", (order_id,))
        return await cursor.fetchone() is not None


async def repeat(environment: OrderEnvironment, key: str) -> Answer | Refused:
    """One repetition of a key's request: its answer. The database may be slow until the copy is in use."""
    try:
        return await environment.answer(key=key, wait_s=0.5, **terms_of(key))
    except (Recovering, AcceptanceUnknown, NotAccepted) as error:
        return error


async def repeat_until_answered(environment: OrderEnvironment, key: str) -> Answer:
    """A client that goes on repeating its key."""
    deadline = asyncio.get_running_loop().time() + ANSWERED_WITHIN_S
    while True:
        answer = await repeat(environment, key)
        if isinstance(answer, Answer) and answer.document.get("order_id"):
            return answer
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"{key} is not answered with its order: {answer}")
        await asyncio.sleep(0.2)


async def is_over(environment: OrderEnvironment) -> bool:
    async with environment.database.connection() as connection:
        cursor = await connection.execute("SELECT ended_at IS NOT NULL FROM account_recovery")
        return await cursor.fetchone() == (True,)


@pytest.mark.parametrize("under", ["a_new_process", "running_replicas"])
@pytest.mark.parametrize("loss", LOSSES)
async def test_every_retried_key_is_the_order_that_it_was(replicas: Replicas, loss: Loss, under: str) -> None:
    """Six keys, of which the copy knows one at most. While they are retried, a new order waits; then it is placed."""
    environment = await replicas.open()
    second = await replicas.open() if under == "running_replicas" else None
    await environment.set_price("NSE:INFY", 1500)
    await owns(environment)
    first = (await environment.place(key=KEYS[0], quantity=10))["order_id"]
    await asyncio.to_thread(replicas.cluster.take_copy, loss)
    await until(replicas.serve)
    placed = {KEYS[0]: first} | await place_all(environment, KEYS[1:])
    if under == "a_new_process":
        await until(replicas.are_remembered)
        await replicas.crash()
    await asyncio.to_thread(replicas.cluster.lose, loss)
    if under == "a_new_process":
        environment = await replicas.open()
    others = [second] if second is not None else [environment]
    await repeat_until_answered(environment, KEYS[1])  # from here on the loss is known, for the window at least
    new = await retry_while_recovering(environment)
    answers = await asyncio.gather(*(repeat_until_answered(one, key) for key in KEYS for one in [environment, *others]))
    assert {answer.document["order_id"] for answer in answers} == set(placed.values())
    assert len(await environment.ledger()) == len(KEYS), "a retried key was placed again"
    await until(lambda: is_over(environment), within_s=30)
    await environment.orders.operators.halts.resume(ACCOUNT, reason="the copy is as it was", by=OPERATOR)
    task = await environment.place(key=new, quantity=99)
    assert task["status"] == "completed"
    assert len(await environment.ledger()) == len(KEYS) + 1


async def retry_while_recovering(environment: OrderEnvironment) -> str:
    """A key that no one has used: while the account recovers it is refused as unknown, not as unsent."""
    key = "a-key-that-is-new-1"
    with pytest.raises(Recovering) as refused:
        await environment.answer(key=key, quantity=99, wait_s=0.0)
    assert (refused.value.code, refused.value.sent) == ("RECOVERING", "unknown")
    return key
