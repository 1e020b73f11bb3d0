"""A pytest plugin that records how long each test takes: ``-p tests.faults.mutants.recorder --durations-to FILE``.

With coverage's contexts of the same run it tells which tests would notice a change first.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--durations-to", metavar="FILE", help="write the seconds of each passed test to this JSON file")


def pytest_configure(config: pytest.Config) -> None:
    target = config.getoption("--durations-to")
    if target and not hasattr(config, "workerinput"):  # with several workers the process that controls them writes
        config.pluginmanager.register(_Recorder(Path(target)))


class _Recorder:
    """Sums the phases of each test; a test that failed or was skipped is left out."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._seconds: dict[str, float] = {}
        self._left_out: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if not report.passed:
            self._left_out.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        passed = {test: seconds for test, seconds in self._seconds.items() if test not in self._left_out}
        self._target.write_text(json.dumps(passed, indent=0, sort_keys=True), encoding="utf-8")
