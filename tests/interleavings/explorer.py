"""Runs many orders of one case: a few within a bound of time, or all of them where they are not too many."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tests.interleavings.checks import Violation
from tests.interleavings.environment import SIDES, Environment
from tests.interleavings.exploration import Exploration, lengths_of, orders_at_most, random_order
from tests.interleavings.pairs import Case, Checked, run_case
from tests.interleavings.scheduler import Choose, Run, StuckRun, following

Extent: TypeAlias = Literal["some", "all"]

MOST_ORDERS = 5_000
"""Of one case: up to so many orders of its steps, all are run, steps that commute in one order only."""

LEAST_ORDERS = 500
"""Of one pair, where a case has more."""

LEAST_OF_CASE = 100

SEARCHED = 200
"""Orders that are tried before a known fault counts as mended: code around it may have one statement more or less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An order that broke a rule; ``schedule`` repeats it."""

    case: Case
    schedule: str
    violation: Violation
    run: Run | None = field(repr=False)

    def __str__(self) -> str:
        steps = [] if self.run is None else [f"  {step.choice} {step.label}" for step in self.run.steps]
        again = f"again: INTERLEAVINGS_SCHEDULE={self.schedule} make interleavings ARGS='-k {self.case}'"
        return "\n".join([f"{self.case} {self.schedule}", f"  {self.violation}", *steps, again])


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one case."""

    case: Case
    runs: int = 0
    complete: bool = False  # every order was run
    failures: list[Failure] = field(default_factory=list)  # the first of each rule

    def add(self, checked: Checked) -> None:
        self.runs += 1
        for violation in checked.violations:
            if violation.rule not in {failure.violation.rule for failure in self.failures}:
                schedule = checked.run.schedule
                failure = Failure(case=self.case, schedule=schedule, violation=violation, run=checked.run)
                self.failures.append(failure)


class Explorer:
    """Explores one case after another with one source of chance."""

    def __init__(self, environment: Environment, *, seed: int) -> None:
        self._environment = environment
        self._seed = seed

    async def repeat(self, case: Case, schedule: str) -> Outcome:
        """One order."""
        outcome = Outcome(case=case)
        await self._run(outcome, following(schedule))
        return outcome

    async def find(self, case: Case, rule: str, *, schedule: str) -> Failure | None:
        """An order that breaks this rule: this one, or one of the first ``SEARCHED`` with few changes."""
        outcome = await self.repeat(case, schedule)
        exploration = Exploration(SIDES, orders="all")
        while True:
            found = [failure for failure in outcome.failures if failure.violation.rule == rule]
            beginning = exploration.next_beginning()
            if found or beginning is None or outcome.runs >= SEARCHED:
                return found[0] if found else None
            run = await self._run(outcome, following(beginning))
            if run is not None:
                exploration.learn(beginning, run)

    async def some(self, case: Case, *, until: float) -> Outcome:
        """Orders with few changes, a random one after each, until that moment of the monotonic clock; one at least."""
        outcome = Outcome(case=case)
        exploration = Exploration(SIDES, orders="all", shuffle=random.Random(f"{self._seed} {case}"))
        while beginning := exploration.next_beginning():
            run = await self._run(outcome, following(beginning))
            if run is not None:
                exploration.learn(beginning, run)
            if time.monotonic() >= until:
                return outcome
            chance = random_order(self._seed + outcome.runs, lengths={} if run is None else lengths_of(run))
            await self._run(outcome, chance)
            if time.monotonic() >= until:
                return outcome
        outcome.complete = True
        return outcome

    async def all(self, case: Case, *, share: int) -> Outcome:
        """All orders where they are not too many; else ``share``: half of them with few changes, half random."""
        outcome = Outcome(case=case)
        first = await self._run(outcome, following(SIDES[0]))
        if first is not None and orders_at_most(first) <= MOST_ORDERS:
            outcome = Outcome(case=case, complete=True)
            async for _ in self._in_order(outcome, Exploration(SIDES, orders="different")):
                pass
            return outcome
        shuffle = random.Random(f"{self._seed} {case}")
        lengths = {} if first is None else lengths_of(first)
        async for _ in self._in_order(outcome, Exploration(SIDES, orders="all", shuffle=shuffle)):
            if outcome.runs >= share // 2:
                break
        while outcome.runs < share:
            await self._run(outcome, random_order(self._seed + outcome.runs, lengths=lengths))
        return outcome

    async def _in_order(self, outcome: Outcome, exploration: Exploration) -> AsyncIterator[Run]:
        while beginning := exploration.next_beginning():
            run = await self._run(outcome, following(beginning))
            if run is not None:
                exploration.learn(beginning, run)
                yield run

    async def _run(self, outcome: Outcome, choose: Choose) -> Run | None:
        """None for a run that did not come to its end."""
        try:
            checked = await run_case(self._environment, outcome.case, choose)
        except StuckRun as error:
            schedule, _, reason = str(error).partition(": ")
            violation = Violation(rule="stuck", text=reason)
            outcome.failures.append(Failure(case=outcome.case, schedule=schedule, violation=violation, run=None))
            outcome.runs += 1
            return None
        outcome.add(checked)
        return checked.run
