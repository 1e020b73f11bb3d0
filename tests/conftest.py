"""Fixtures that every test may ask for live in the plugins named here."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.coverage_scope",
    "tests.servers",
    "tests.order_fixtures",
    "tests.e2e.fixtures",
    "tests.faults.outage_environment",
    "tests.interleavings.summary",
]

# No deadline per example: the machines that run this are shared, and a slow one proves nothing about the code.
# In CI the examples are the same each time, so that a red run is about the change; elsewhere they are new ones.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


SLOWEST_DIRECTORIES = ("interleavings", "faults", "e2e", "integration")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the slowest tests first, so that no worker runs them alone at the end."""
    items.sort(key=lambda item: (item.get_closest_marker("chaos") is None, _place(item.path)))


def _place(path: Path) -> int:
    directory = path.relative_to(Path(__file__).parent).parts[0]
    return SLOWEST_DIRECTORIES.index(directory) if directory in SLOWEST_DIRECTORIES else len(SLOWEST_DIRECTORIES)
