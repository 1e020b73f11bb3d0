"""Coverage is measured by the tests of units and integration alone: elsewhere it would cost half of the processor time.

The other directories run whole services, crashes and outages; their goal is the fault cases, not a percentage. Where
each test's lines are recorded (``make record``), every test is measured.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import coverage
import pytest

UNMEASURED = {"faults", "e2e", "interleavings"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Fixtures of the test included, and the programs that it starts."""
    directory = item.path.relative_to(Path(__file__).parent).parts[0]
    if directory in UNMEASURED and not item.config.getoption("cov_context", None):
        with _unmeasured():
            return (yield)
    return (yield)


@contextmanager
def _unmeasured() -> Iterator[None]:
    measuring = coverage.Coverage.current()
    if measuring is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
            patch.delenv(name, raising=False)
        measuring.stop()
        try:
            yield
        finally:
            measuring.start()
