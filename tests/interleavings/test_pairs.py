"""No order of the steps of two operations on one account breaks what must be true of it.

    make test                                                  some orders of each case, within INTERLEAVINGS_SECONDS
    make interleavings                                         all of them, or many random ones; the counts at the end
    make interleavings ARGS="-k claim-withdraw"                of one pair
    INTERLEAVINGS_SCHEDULE=aabb make interleavings ARGS="-k claim-withdraw-pending"     one order of one case

``INTERLEAVINGS_SEED`` repeats the random choices of a run.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.interleavings.environment import Environment, open_environment
from tests.interleavings.explorer import LEAST_OF_CASE, LEAST_ORDERS, Explorer, Outcome
from tests.interleavings.known import FAULTS, KNOWN, Known
from tests.interleavings.pairs import Case, all_cases
from tests.interleavings.summary import record
from tests.servers import temporary_database

CASES = {str(case): case for cases in all_cases().values() for case in cases}
REPEATED = [(case, known) for case, found in KNOWN.items() for known in found]
SECONDS = 200.0
"""Of the part that ``make test`` runs."""

MOST_SEED = 1_000_000
CI_SEED = 20_240_601


@dataclass(slots=True)
class Budget:
    """What is left of the time, for the cases that are left."""

    ends_at: float
    cases: int

    def share(self) -> float:
        """Until when the next case may run, by the monotonic clock."""
        now = time.monotonic()
        until = now + max(0.0, self.ends_at - now) / max(1, self.cases)
        self.cases -= 1
        return until


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(postgres_server: str, migrated_template: str) -> AsyncIterator[Environment]:
    with temporary_database(postgres_server, template=migrated_template) as url:
        async with open_environment(url) as opened:
            yield opened


@pytest.fixture(scope="module")
def seed() -> int:
    given = os.environ.get("INTERLEAVINGS_SEED")
    if given:
        return int(given)
    return CI_SEED if os.environ.get("CI") else random.randrange(MOST_SEED)


@pytest.fixture(scope="module")
def budget(request: pytest.FixtureRequest) -> Budget:
    seconds = float(os.environ.get("INTERLEAVINGS_SECONDS", SECONDS))
    cases = sum("test_an_account_is_whole_after_any_order" in item.name for item in request.session.items)
    return Budget(ends_at=time.monotonic() + seconds, cases=cases)


async def explore(explorer: Explorer, case: Case, budget: Budget) -> Outcome:
    schedule = os.environ.get("INTERLEAVINGS_SCHEDULE")
    if schedule:
        return await explorer.repeat(case, schedule)
    if os.environ.get("INTERLEAVINGS") == "all":
        of_pair = len(all_cases()[case.pair])
        return await explorer.all(case, share=max(LEAST_OF_CASE, LEAST_ORDERS // of_pair))
    return await explorer.some(case, until=budget.share())


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", CASES)
async def test_an_account_is_whole_after_any_order(
    name: str, environment: Environment, seed: int, budget: Budget, request: pytest.FixtureRequest
) -> None:
    """Whatever the order, every rule of ``checks`` holds, but for those in ``KNOWN``."""
    outcome = await explore(Explorer(environment, seed=seed), CASES[name], budget)
    record(request, outcome, seed=seed)
    is_repeated = "INTERLEAVINGS_SCHEDULE" in os.environ
    known = set[str]() if is_repeated else {entry.rule for entry in KNOWN.get(name, ())}
    new = [str(failure) for failure in outcome.failures if failure.violation.rule not in known]
    assert not new, "\n".join([f"seed {seed}", *new])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("name", "known"), REPEATED, ids=[f"{known.fault}-{name}" for name, known in REPEATED])
async def test_a_known_fault_still_fails(name: str, known: Known, environment: Environment) -> None:
    """An entry that no order with few changes shows any more has to leave ``KNOWN``."""
    found = await Explorer(environment, seed=0).find(CASES[name], known.rule, schedule=known.schedule)
    assert found is not None, f"{known.fault} no longer shows in {name}: take it out of KNOWN"


def test_known_faults_have_names_and_cases() -> None:
    """Each entry names a case that exists and a fault that is described."""
    assert KNOWN.keys() <= CASES.keys()
    assert {known.fault for _, known in REPEATED} == FAULTS.keys()
