"""The simulator's answers have the shapes of the broker's published samples (`shapes` says how they are compared).

They are read from `KITE_MOCKS` (default: `../shared/kite-mocks` beside the repository) and never copied. A folder may
have fewer than the broker's repository; every one that is there is compared.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from simulator.server import RunningSimulator
from tests.conformance.shapes import (
    HEADERS,
    MOCKS,
    NO_ROUTE,
    OPTIONAL,
    TABLES,
    collect,
    column_differences,
    differences,
    main,
    sample,
)

pytestmark = pytest.mark.skipif(not MOCKS.is_dir(), reason=f"the official samples are not at {MOCKS} (KITE_MOCKS)")


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=simulator.url, headers=HEADERS) as session:
        yield session


@pytest.fixture
def answers(client: httpx.Client) -> dict[str, Any]:
    return collect(client)


def test_every_sample_with_a_route_has_its_shape(answers: dict[str, Any]) -> None:
    """The same keys, and values of the same types."""
    found = {
        name: differences(ours, sample(name), where=name, optional=OPTIONAL.get(name, frozenset()))
        for name, ours in answers.items()
        if (MOCKS / f"{name}.json").exists()
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_no_sample_is_left_out(answers: dict[str, Any]) -> None:
    """A sample that is not compared is in the list of those without a route, with the reason."""
    assert {path.stem for path in MOCKS.glob("*.json")} - answers.keys() - NO_ROUTE.keys() == set()
    assert {path.stem for path in MOCKS.glob("*.csv")} - TABLES.keys() == set()


@pytest.mark.parametrize("name", [name for name in TABLES if (MOCKS / f"{name}.csv").exists()])
def test_the_dumps_have_the_columns_of_the_samples(client: httpx.Client, name: str) -> None:
    """In the same order."""
    assert column_differences(client, name) == []


def test_the_script_prints_that_there_is_no_difference(
    simulator: RunningSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """It exits with 0."""
    assert (main(simulator.url, MOCKS), capsys.readouterr().out) == (0, "no difference\n")


def test_the_comparison_finds_differences() -> None:
    """A missing key, a surplus key and another type are each found."""
    found = differences({"a": 1, "b": "x"}, {"a": "1", "c": None}, where="w")
    assert sorted(found) == ["w.a: number here, string there", "w: only here: b", "w: only there: c"]
