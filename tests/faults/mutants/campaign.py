"""Tries mutants one after the other, several at a time, until all are tried or the time is over.

A test that notices a mutant must pass in an unchanged tree; that is tried once for each such test, so that a test which
fails by itself proves nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from tests.faults.mutants.equivalents import EQUIVALENTS
from tests.faults.mutants.mutant import Mutant
from tests.faults.mutants.plan import Plan
from tests.faults.mutants.trial import Trial, Verdict

POLL_S = 0.02

Outcome: TypeAlias = Literal["noticed", "survived", "equivalent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one mutant."""

    mutant: Mutant
    outcome: Outcome
    by: str = ""  # the test that noticed it
    ran: int = 0  # tests, of ``touching`` that run the changed line
    touching: int = 0


@dataclass(slots=True)
class _Running:
    mutant: Mutant
    trial: Trial
    touching: int
    doubted: Verdict | None = None  # a notice whose test is being tried without the change


@dataclass(slots=True)
class Campaign:
    """``trees``: copies of the repository, one for each trial at a time. ``report`` is called with each result."""

    plan: Plan
    trees: Sequence[Path]
    environment: dict[str, str]
    report: Callable[[Result], None]
    proven: set[str] = field(default_factory=set)  # tests that have passed in an unchanged tree

    def run(self, mutants: Sequence[Mutant], *, seconds: float | None) -> None:
        """Try them in order. What is not decided when the time is over is not reported. Raises TrialBroken."""
        ends_at = None if seconds is None else time.monotonic() + seconds
        todo = deque(mutants)
        running: dict[Path, _Running] = {}
        try:
            while todo or running:
                for tree in self.trees:
                    if tree not in running and todo:
                        self._begin(todo.popleft(), tree, running)
                if ends_at is not None and time.monotonic() > ends_at:
                    return
                time.sleep(POLL_S)
                for tree, one in list(running.items()):
                    verdict = one.trial.poll()
                    if verdict is not None:
                        del running[tree]
                        self._decide(one, verdict, tree, running, todo)
        finally:
            for one in running.values():
                one.trial.kill()

    def _begin(self, mutant: Mutant, tree: Path, running: dict[Path, _Running]) -> None:
        if mutant.key in EQUIVALENTS:
            self.report(Result(mutant=mutant, outcome="equivalent"))
            return
        groups, touching = self.plan.groups_for(mutant)
        if not groups:
            self.report(Result(mutant=mutant, outcome="survived"))
            return
        running[tree] = _Running(mutant, self._started(mutant, groups, tree), touching)

    def _started(self, mutant: Mutant | None, groups: Sequence[Sequence[str]], tree: Path) -> Trial:
        trial = Trial(
            tree=tree,
            mutant=mutant,
            groups=groups,
            timeout_s=self.plan.timeout_s([test for tests in groups for test in tests]),
            environment=self.environment,
        )
        trial.start()
        return trial

    def _decide(
        self, one: _Running, verdict: Verdict, tree: Path, running: dict[Path, _Running], todo: deque[Mutant]
    ) -> None:
        if one.doubted is not None:
            if verdict.noticed:  # the test fails without a change too
                self.plan.leave_out(one.doubted.by)
                todo.appendleft(one.mutant)
                return
            self.proven.add(one.doubted.by)
            self._noticed(one, one.doubted)
        elif not verdict.noticed:
            self.report(Result(mutant=one.mutant, outcome="survived", ran=verdict.ran, touching=one.touching))
        elif verdict.by in self.proven or "::" not in verdict.by:
            self._noticed(one, verdict)
        else:
            running[tree] = _Running(one.mutant, self._started(None, [[verdict.by]], tree), one.touching, verdict)

    def _noticed(self, one: _Running, verdict: Verdict) -> None:
        self.plan.has_noticed(one.mutant, verdict.by)
        self.report(Result(mutant=one.mutant, outcome="noticed", by=verdict.by, ran=verdict.ran, touching=one.touching))
