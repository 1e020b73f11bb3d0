"""The last part of a run: PostgreSQL is put back to an older copy under running replicas, while clients go on.

Before and after it orders show late and the book loses tags. When the accounts have recovered an operator resumes them,
and orders go again. What is checked then is in ``loss_checks``.
"""

from __future__ import annotations

import asyncio

import httpx

from chaos.database_copy import put_back, take_copy
from chaos.fault_schedule import FaultSchedule
from chaos.load import Load
from chaos.stack import API_KEY, Replica, Stack

CLIENTS = 6
FORGOTTEN_S = 15.0
"""What the copy lacks."""

RETRIED_S = 15.0
"""How long clients go on after it."""

RECOVERS_WITHIN_S = 60.0
"""A lease, the in-doubt window of ``SHORT_TIMES``, and reads of the book that a fault may have spoiled."""


async def lose_the_database(stack: Stack, schedule: FaultSchedule, load: Load) -> bool:
    """Whether all accounts have recovered in time; then they are resumed, and the faults are over."""
    copy = stack.directory / "copy"
    await asyncio.to_thread(take_copy, stack.postgres.url, copy)
    async with asyncio.TaskGroup() as tasks:
        clients = tasks.create_task(load.run(CLIENTS))
        faults = tasks.create_task(schedule.run_around_a_loss())
        await asyncio.sleep(FORGOTTEN_S)
        schedule.counts["PostgreSQL put back to a copy"] += 1
        await stack.stop_postgres("kill")
        await asyncio.to_thread(put_back, stack.directory / "postgres" / "cluster", copy)
        await stack.start_postgres()
        await asyncio.sleep(RETRIED_S)
        faults.cancel()
        clients.cancel()
    try:
        return await _have_recovered(stack, within_s=RECOVERS_WITHIN_S)
    finally:
        await schedule.clear()


async def _have_recovered(stack: Stack, *, within_s: float) -> bool:
    """Whether every replica says so of every account in time."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + within_s
    async with httpx.AsyncClient(trust_env=False, timeout=2.0, headers={"X-API-Key": API_KEY}) as http:
        while loop.time() < ends_at:
            if all([await _says_so(replica, http) for replica in stack.replicas]):
                return True
            await asyncio.sleep(0.5)
    return False


async def _says_so(replica: Replica, http: httpx.AsyncClient) -> bool:
    try:
        accounts = (await http.get(f"{replica.url}/health")).json()["orders"]["accounts"]
    except (httpx.HTTPError, ValueError, LookupError):
        return False
    return bool(accounts) and not any({"recovering", "no_sender"} & set(one["reasons"]) for one in accounts)
