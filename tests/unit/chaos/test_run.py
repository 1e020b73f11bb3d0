"""The settings of a chaos run, and its report."""

from __future__ import annotations

import pytest

from chaos.__main__ import main
from chaos.checker import Violation
from chaos.history import History
from chaos.history_reader import Doubts
from chaos.run import BadSetting, Outcome, Plan, read_plan, report
from tests.unit.chaos.test_checker import GOOD


def test_the_plan_comes_from_the_environment() -> None:
    """Minutes, seed and replicas; each has a default."""
    assert read_plan({"CHAOS_MINUTES": "0.5", "CHAOS_SEED": "7", "REPLICAS": "2"}) == Plan(
        minutes=0.5, seed=7, replicas=2
    )
    assert (read_plan({}).minutes, read_plan({}).replicas) == (3.0, 3)


@pytest.mark.parametrize(("name", "value"), [("CHAOS_MINUTES", "0"), ("REPLICAS", "9"), ("CHAOS_SEED", "x")])
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    """The error names the variable."""
    with pytest.raises(BadSetting, match=name):
        read_plan({name: value})


def outcome(history: History, *violations: Violation) -> Outcome:
    return Outcome(
        history=history,
        violations=violations,
        doubts=Doubts(found=(0.5, 2.0)),
        faults={"kill -9": 2},
        requests={"POST orders": 3},
        streams={},
        settled_s=4.0,
    )


def test_the_report_counts_and_ends_with_the_violations() -> None:
    """Each violation is printed in full, with the seed of its run."""
    lines = report(Plan(seed=5), outcome(GOOD, Violation("C1", "two orders")))
    assert lines[-2:] == ["violations: 1", "  seed 5: C1: two orders"]
    assert any("found in the book: 2, p50 2.00 s" in line for line in lines)
    assert any("1 accepted, 1 at the exchange" in line for line in lines)


def test_a_clean_report_says_zero() -> None:
    """The last line says that there is no violation."""
    assert report(Plan(), outcome(History()))[-1] == "violations: 0"


def test_a_word_that_is_no_run_starts_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outage"]) == 2
    assert "ARGS=outages or ARGS=lost-answers" in capsys.readouterr().err


def test_help_starts_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "CHAOS_MINUTES" in capsys.readouterr().out
