"""Puts small faults into the code that must never be wrong, one at a time, and shows which of them no test notices.

    python -m tests.faults.sample_mutants --seed N --count N --minutes M

Mutants are drawn from the order engine, the wire, the pace and the leases; ``--clauses`` tries every clause of the
guard statements instead. For each the tests that run the changed line are run, the quick ones and those that
``mutate.py`` names first, for ``--seconds`` of their recorded time; a mutant that all of them pass has survived. Which
tests those are is known from a recorded run (``--map``); without one the tests are recorded first.

Exit code 0: at least ``--least`` percent were noticed, and at most 8 % change nothing (``mutants/equivalents.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from app.db.migrate import migrate
from embedded.postgres import running_postgres
from tests.faults.mutants.campaign import Campaign, Outcome, Result
from tests.faults.mutants.mutant import Key
from tests.faults.mutants.plan import Plan
from tests.faults.mutants.population import all_mutants, guard_clauses, sample
from tests.faults.mutants.touching import COVERAGE, DURATIONS, SOURCES, Recording, Users
from tests.faults.mutants.trial import ROOT, make_tree, preload
from tests.servers import in_memory, temporary_database

MOST_EQUIVALENT_PERCENT = 8.0
RECORDED = ("tests/unit", "tests/contract", "tests/integration", "tests/faults")
NOT_RECORDED = ("tests/integration/embedded", "tests/integration/simulator", "tests/integration/chaos")
"""They run no line of these files in their own process."""

Tally: TypeAlias = dict[Key, tuple[Outcome, str, str]]
"""By mutant, its outcome, how it is shown, and the test that noticed it."""


@dataclass(frozen=True, slots=True)
class Score:
    """How many mutants of a tally have which outcome, and whether that is enough."""

    noticed: int
    survived: int
    equivalent: int

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Score:
        return cls(*(outcomes.count(one) for one in ("noticed", "survived", "equivalent")))

    @property
    def percent(self) -> float:
        """Of the mutants that change something, how many were noticed. 0 without any."""
        return 100.0 * self.noticed / max(1, self.noticed + self.survived)

    @property
    def equivalent_percent(self) -> float:
        return 100.0 * self.equivalent / max(1, self.noticed + self.survived + self.equivalent)

    def is_enough(self, least: float) -> bool:
        return self.percent >= least and self.equivalent_percent <= MOST_EQUIVALENT_PERCENT

    def __str__(self) -> str:
        return (
            f"{self.noticed} noticed, {self.survived} survived, {self.equivalent} change nothing: "
            f"{self.percent:.1f} % noticed, {self.equivalent_percent:.1f} % change nothing"
        )


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended, also when this is stopped
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        directory = Path(name)
        recordings = options.map or directory / "map"
        if options.record is not None or not recordings.exists():
            record(recordings, options.record or RECORDED)
        if options.record is not None:
            return 0
        mutants = all_mutants(ROOT)
        drawn = sample(mutants, count=options.count, seed=options.seed)
        chosen = guard_clauses(mutants) if options.clauses else drawn
        mutants = [one for one in chosen if any(text in one.path for text in options.only)]
        print(f"seed {options.seed}: {len(mutants)} mutants", flush=True)
        tally = _read_log(options.log, again=options.again)
        todo = [one for one in mutants if one.key not in tally]

        def report(result: Result) -> None:
            tally[result.mutant.key] = (result.outcome, _shown(result), result.by)
            print(f"{result.outcome:10} {result.mutant.path}:{result.mutant.lines[0]} {result.by}", flush=True)
            if options.log is not None:
                _append(options.log, result)

        recording = Recording.read(recordings, root=ROOT)
        recording.keep(_collected(sorted(recording.seconds)))
        plan = Plan(recording, Users(ROOT), options.seconds)
        preload()
        with _server() as environment:
            trees = _trees(directory, options.workers)
            campaign = Campaign(plan, trees, environment, report, {by for _, _, by in tally.values()})
            campaign.run(todo, seconds=options.minutes * 60 if options.minutes else None)
    tried = [tally[one.key] for one in mutants if one.key in tally]
    return _conclude(tried, drawn=len(mutants), least=options.least)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the sample; random if absent")
    parser.add_argument("--count", type=int, default=600, help="mutants in the sample")
    parser.add_argument("--minutes", type=float, default=0.0, help="how long to try them; 0: until all are tried")
    parser.add_argument("--clauses", action="store_true", help="every clause of the guard statements, no sample")
    parser.add_argument(
        "--only", nargs="*", default=[""], metavar="TEXT", help="mutants of files with this in the path"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="recorded time of the tests for one mutant")
    parser.add_argument("--workers", type=int, default=1, help="mutants at a time")
    parser.add_argument("--map", type=Path, metavar="DIR", help="recorded runs of tests, from --record or make record")
    parser.add_argument("--record", nargs="*", metavar="TESTS", help="only record a run of these tests below --map")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write each result here; what it has is not repeated")
    parser.add_argument("--again", action="store_true", help="try the survivors of the log again")
    parser.add_argument("--least", type=float, default=95.0, help="percent of mutants that must be noticed")
    return parser.parse_args(arguments)


def record(directory: Path, tests: Sequence[str]) -> None:
    """Run these tests in a copy of the tree, and store which of them runs which line, and how long each takes.

    Raises CalledProcessError where they cannot be run; a test that fails is left out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    target = Path(tempfile.mkdtemp(prefix="run-", dir=directory.resolve()))
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        tree = Path(name) / "tree"
        make_tree(tree)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not chaos"]
        command += ["--cov", "--cov-branch", "--cov-context=test", "--cov-report=", *tests]
        command += ["-p", "tests.faults.mutants.recorder", f"--durations-to={target / DURATIONS}"]
        command += [f"--ignore={one}" for one in NOT_RECORDED]
        environment = {**os.environ, "COVERAGE_FILE": str(target / COVERAGE), "CI": "1", **_samples()}
        done = subprocess.run(command, cwd=tree, env=environment, check=False)  # noqa: S603 - our own fixed command
        sources = {path.relative_to(tree).as_posix(): path.read_text("utf-8") for path in (tree / "app").rglob("*.py")}
        (target / SOURCES).write_text(json.dumps(sources), encoding="utf-8")
        if done.returncode not in {0, 1}:
            raise subprocess.CalledProcessError(done.returncode, command)


def _collected(tests: Sequence[str]) -> set[str]:
    """The tests that the files of these have now. Raises CalledProcessError where one cannot be imported."""
    files = sorted({file for test in tests if (ROOT / (file := test.partition("::")[0])).exists()})
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    return {line for line in done.stdout.splitlines() if "::" in line}


@contextmanager
def _server() -> Iterator[dict[str, str]]:
    """A PostgreSQL server that all trials share, with a database at head: the environment that names them."""
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as name,
        in_memory(otherwise=Path(name)) as directory,
        running_postgres(directory) as server,
        temporary_database(server.url) as template,
    ):
        migrate(template)
        database = urlsplit(template).path.removeprefix("/")
        yield {"CI": "1", "DATABASE_URL": server.url, "DATABASE_TEMPLATE": database, **_samples()}


def _samples() -> dict[str, str]:
    """Where the official samples are: a tree elsewhere does not find them beside it."""
    beside = ROOT.parent / "shared" / "kite-mocks"
    return {"KITE_MOCKS": os.environ.get("KITE_MOCKS") or str(beside)}


def _trees(directory: Path, count: int) -> list[Path]:
    trees = [directory / f"tree-{n}" for n in range(count)]
    for tree in trees:
        make_tree(tree)
    return trees


def _shown(result: Result) -> str:
    how = f"{result.ran} of {result.touching} tests that run the line" if result.touching else "no test runs the line"
    return f"{result.mutant}\n    {how}"


def _append(log: Path, result: Result) -> None:
    line = {"key": result.mutant.key, "outcome": result.outcome, "by": result.by, "shown": _shown(result)}
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _read_log(log: Path | None, *, again: bool) -> Tally:
    """What an earlier run has found; the survivors are left out where they are to be tried again."""
    tally: Tally = {}
    if log is not None and log.exists():
        for line in log.read_text(encoding="utf-8").splitlines():
            found = json.loads(line)
            path, function, before, after = found["key"]
            tally[path, function, before, after] = (found["outcome"], found["shown"], found["by"])
    return {key: one for key, one in tally.items() if not (again and one[0] == "survived")}


def _conclude(tried: Sequence[tuple[Outcome, str, str]], *, drawn: int, least: float) -> int:
    for outcome, shown, _ in tried:
        if outcome == "survived":
            print(f"survived: {shown}")
    score = Score.of([outcome for outcome, _, _ in tried])
    print(f"{len(tried)} of {drawn} tried: {score}")
    return 0 if score.is_enough(least) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
