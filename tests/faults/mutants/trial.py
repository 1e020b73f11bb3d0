"""Runs tests against a mutant: in a copy of the tree, and in a process of its own that is forked from this one.

The parent has imported the libraries that tests need, and a trial forgets what it has imported of the repository. So it
begins in a tenth of the time, and imports the changed module like any other.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from tests.faults.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[3]
LIBRARIES = ("alembic", "fastapi", "httpx", "hypothesis", "loguru", "msgspec", "psycopg", "psycopg_pool", "redis")

SERVER_FIXTURES = ("servers", "order_fixtures", "e2e.fixtures", "faults.outage_environment", "interleavings.summary")
_WITHOUT_SERVERS = tuple(f"-pno:tests.{name}" for name in SERVER_FIXTURES)
"""Unit tests need none of these plugins, whose import is the import of the whole service."""

_OURS = ("app", "tests", "simulator", "embedded", "chaos", "benchmarks", "migrations")
_LEFT_OUT = (
    *(".git", ".venv", ".data", ".recording", ".hypothesis", ".coverage*", ".*cache"),
    *("node_modules", "htmlcov"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a trial ended."""

    noticed: bool
    by: str = ""  # the test that failed first, or ``import`` where the changed module cannot be imported
    ran: int = 0  # tests


class TrialBroken(Exception):
    """The tests could not be run."""


def make_tree(target: Path) -> None:
    """A copy of the repository at ``target``, with its compiled files, as it is before any change."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*_LEFT_OUT))


def preload() -> None:
    """Import what the trials need of others."""
    for name in LIBRARIES:
        importlib.import_module(name)


@dataclass(slots=True, kw_only=True)
class Trial:
    """Tests against one mutant, or against the tree as it is. ``poll`` until it gives a verdict, or ``kill``."""

    tree: Path
    mutant: Mutant | None
    groups: Sequence[Sequence[str]]  # of tests; a group begins when the one before has passed
    timeout_s: float  # of one test
    environment: dict[str, str] = field(default_factory=dict)
    _original: str = ""
    _pid: int = 0
    _has_ended: bool = False

    def start(self) -> None:
        self._result.unlink(missing_ok=True)
        if self.mutant is not None:
            self._original = self._changed.read_text(encoding="utf-8")
            self._write(self.mutant.applied_to(self._original))
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            self._in_child()

    def poll(self) -> Verdict | None:
        """None while it runs. Raises TrialBroken."""
        pid, _ = os.waitpid(self._pid, os.WNOHANG)
        if pid == 0:
            return None
        self._has_ended = True
        self._clean_up()
        found = json.loads(self._result.read_text(encoding="utf-8")) if self._result.exists() else None
        if found is None or (found["code"] not in {0, 1} and not found["by"]):
            output = self._output.read_text(encoding="utf-8", errors="replace")
            raise TrialBroken(f"{self.mutant}\n{output[-3000:]}")
        return Verdict(noticed=found["code"] != 0, by=found["by"], ran=found["ran"])

    def kill(self) -> None:
        """End the trial and whatever it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        if not self._has_ended:
            os.waitpid(self._pid, 0)
            self._clean_up()

    @property
    def _changed(self) -> Path:
        assert self.mutant is not None
        return self.tree / self.mutant.path

    @property
    def _result(self) -> Path:
        return self.tree / ".result.json"

    @property
    def _output(self) -> Path:
        return self.tree / ".output.txt"

    def _clean_up(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)  # what tests have left behind
        if self.mutant is not None:
            self._write(self._original)

    def _write(self, source: str) -> None:
        """Change the file. Its compiled one may be of the same second and size, and would count as valid."""
        self._changed.write_text(source, encoding="utf-8")
        Path(importlib.util.cache_from_source(str(self._changed))).unlink(missing_ok=True)

    def _in_child(self) -> NoReturn:
        code = 1
        try:
            os.setsid()
            output = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            self._result.write_text(json.dumps(self._run()), encoding="utf-8")
            code = 0
        except BaseException:  # noqa: BLE001 - the child must end here, whatever happens
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _run(self) -> dict[str, object]:
        os.chdir(self.tree)
        os.environ.update(self.environment)
        for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
            del sys.modules[name]
        sys.path[:] = [str(self.tree), *(one for one in sys.path if one and Path(one) != ROOT)]
        importlib.invalidate_caches()
        if self.mutant is not None:
            try:
                importlib.import_module(self.mutant.path.removesuffix(".py").replace("/", "."))
            except Exception:  # noqa: BLE001 - whatever an import raises is noticed by every test
                traceback.print_exc()
                return {"code": 1, "by": "import", "ran": 0}
        options = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # preloaded libraries cannot be rewritten
        options += ["-q", "-x", "-p", "no:cacheprovider", f"--timeout={self.timeout_s:.0f}", f"--rootdir={self.tree}"]
        options += ["-c", str(self.tree / "pytest.ini")]
        code, ran = 0, 0
        for tests in self.groups:
            failure = _FirstFailure(tests)
            unit = all(test.startswith("tests/unit/") for test in tests)
            code = int(pytest.main([*options, *(_WITHOUT_SERVERS if unit else ()), *tests], plugins=[failure]))
            ran += failure.ran
            if code != 0:
                return {"code": code, "by": failure.failed, "ran": ran}
        return {"code": code, "by": "", "ran": ran}


class _FirstFailure:
    """Runs the tests in the order in which they were named, and remembers the first that fails."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {test: n for n, test in enumerate(tests)}
        self.failed = ""
        self.ran = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self._order.get(item.nodeid, len(self._order)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "call"
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid
