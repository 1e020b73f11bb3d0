"""The sampler of mutants: which changes it makes, which tests it runs, and what it says in the end."""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from coverage import CoverageData

from tests.faults.mutants.equivalents import EQUIVALENTS
from tests.faults.mutants.mutant import Mutant
from tests.faults.mutants.plan import Plan
from tests.faults.mutants.population import all_mutants, guard_clauses, mutants_of, sample
from tests.faults.mutants.touching import COVERAGE, DURATIONS, SOURCES, Recording, Users
from tests.faults.mutants.trial import ROOT
from tests.faults.sample_mutants import Score


def changes(source: str) -> set[str]:
    """The changed lines of each mutant of a piece of source."""
    return {mutant.after for mutant in mutants_of("app/x.py", textwrap.dedent(source).lstrip())}


def test_comparisons_are_shifted_and_negated() -> None:
    """A boundary moves by one, and the sides change."""
    assert changes("def f(a):\n    return a < 5\n") == {
        "return (a <= 5)",
        "return (a >= 5)",
        "return a < 6",
    }


def test_conditions_are_dropped_negated_and_joined_otherwise() -> None:
    """Each operand of and, or; and the condition of a comprehension."""
    assert changes("def f(a, b):\n    return a and not b\n") == {
        "return (a or not b)",
        "return (not b)",
        "return (a)",
        "return a and (b)",
    }
    assert "return [x for x in a if True]" in changes("def f(a):\n    return [x for x in a if x]\n")
    assert "if not (a()):" in changes("def f(a):\n    if a():\n        return 1\n    return 2\n")


def test_statements_are_removed() -> None:
    """Calls, awaited ones too, assignments to attributes, raised errors, early returns."""
    source = """
        async def f(self, a):
            await a.lock(1)
            self.x = a
            self.n += 1
            if a is None:
                return
            raise ValueError("text 1")
    """
    found = mutants_of("app/x.py", textwrap.dedent(source).lstrip())
    removed = [mutant.before for mutant in found if mutant.edit.operator == "statement removed"]
    assert removed == ["await a.lock(1)", "self.x = a", "self.n += 1", "return", 'raise ValueError("text 1")']


def test_what_people_read_is_left_alone() -> None:
    """Docstrings, log lines, messages, annotations and imports."""
    source = '''
        """Words AND more words of 5."""
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            x = 1
        def f(a: Literal[5]) -> None:
            logger.bind(n=5).info("5")
            return error(message=f"more than {a + 1}")
    '''
    assert changes(source) == set()


def test_every_condition_of_a_statement_is_dropped() -> None:
    """Also within parentheses, in a subquery and in a branch; the AND of a BETWEEN is none."""
    source = '''
        X = """SELECT 1 FROM t -- a comment AND more
          WHERE a = %(a)s AND (b > 1 OR NOT c) AND d BETWEEN 1 AND 2
            AND CASE WHEN e THEN NOT EXISTS (SELECT 1 FROM u WHERE f) ELSE EXISTS (SELECT 2) END"""
    '''
    found = changes(source)
    line = "WHERE a = %(a)s AND (b > 1 OR NOT c) AND d BETWEEN 1 AND 2"
    assert {one for one in found if one.startswith("WHERE")} == {
        line.replace("a = %(a)s", "true"),
        line.replace("(b > 1 OR NOT c)", "true"),
        line.replace("b > 1", "false"),
        line.replace("NOT c", "false"),
        line.replace("d BETWEEN 1 AND 2", "true"),
        line.replace(">", ">="),
    }
    branches = 'AND CASE WHEN e THEN NOT EXISTS (SELECT 1 FROM u WHERE f) ELSE EXISTS (SELECT 2) END"""'
    assert found >= {
        branches.replace("WHEN e", "WHEN true"),
        branches.replace("NOT EXISTS (SELECT 1 FROM u WHERE f)", "true"),
        branches.replace("WHERE f", "WHERE true"),
        branches.replace("EXISTS (SELECT 2)", "true"),
    }


def test_parameters_without_a_name_stay() -> None:
    """A statement with one parameter too few would be noticed by anything."""
    found = changes('X = "UPDATE t SET a = 1 WHERE b = %s AND c = %s"\n')
    assert found == {
        'X = "UPDATE t SET a = 1 WHERE (true OR %s::text IS NULL) AND c = %s"',
        'X = "UPDATE t SET a = 1 WHERE b = %s AND (true OR %s::text IS NULL)"',
    }


def test_assignments_orders_and_locks_are_removed() -> None:
    """One at a time; the moment of a clock is no boundary."""
    update = changes('X = "UPDATE t SET a = 1, b = f(2, 3), c = 4 WHERE d > clock_timestamp()"\n')
    assert update == {
        'X = "UPDATE t SET b = f(2, 3), c = 4 WHERE d > clock_timestamp()"',
        'X = "UPDATE t SET a = 1, c = 4 WHERE d > clock_timestamp()"',
        'X = "UPDATE t SET a = 1, b = f(2, 3) WHERE d > clock_timestamp()"',
        'X = "UPDATE t SET a = 1, b = f(2, 3), c = 4 WHERE true"',
    }
    select = changes('X = "SELECT 1 FROM t ORDER BY a, b DESC LIMIT 1 FOR UPDATE SKIP LOCKED"\n')
    assert select == {
        'X = "SELECT 1 FROM t ORDER BY NULL, b DESC LIMIT 1 FOR UPDATE SKIP LOCKED"',
        'X = "SELECT 1 FROM t ORDER BY a, NULL LIMIT 1 FOR UPDATE SKIP LOCKED"',
        'X = "SELECT 1 FROM t ORDER BY a, b LIMIT 1 FOR UPDATE SKIP LOCKED"',
        'X = "SELECT 1 FROM t ORDER BY a, b DESC LIMIT 1 "',
    }


def test_a_mutant_is_known_when_its_lines_have_moved() -> None:
    """By path, function and the changed lines; and it changes nothing else of the file."""
    source = 'def f(a):\n    text = "ä"\n    return a < 5  # ä\n'
    first = next(iter(mutants_of("app/x.py", source)))
    moved = next(iter(mutants_of("app/x.py", "# a new line\n\n" + source)))
    assert first.key == moved.key == ("app/x.py", "f", "return a < 5 # ä", "return (a <= 5) # ä")
    assert first.applied_to(source) == source.replace("a < 5", "(a <= 5)")
    assert (first.lines, moved.lines) == ((3, 3), (5, 5))


@pytest.fixture(scope="module")
def mutants() -> list[Mutant]:
    """All of the repository."""
    return all_mutants(ROOT)


def test_the_population_is_large_and_a_seed_draws_the_same_sample(mutants: list[Mutant]) -> None:
    """The order engine, the wire, the pace and the leases; of the guards every clause of the claim."""
    assert len(mutants) > 3000
    assert {"app/db/leases.py", "app/kite/pace.py"} < {mutant.path for mutant in mutants}
    drawn = sample(mutants, count=20, seed=7)
    assert [one.key for one in drawn] == [one.key for one in sample(mutants, count=20, seed=7)]
    assert drawn != sample(mutants, count=20, seed=8)
    for one in drawn:
        ast.parse(one.applied_to((ROOT / one.path).read_text(encoding="utf-8")))  # raises for what is no Python
    of_the_claim = [one.after for one in guard_clauses(mutants) if one.path.endswith("claim_store.py")]
    assert "AND true" in of_the_claim
    assert len(of_the_claim) > 80


def test_every_equivalent_is_a_mutant_of_the_tree_and_has_its_reason(mutants: list[Mutant]) -> None:
    """A reason for a change that no longer exists is an old excuse."""
    known = {mutant.key for mutant in mutants}
    assert [key for key in EQUIVALENTS if key not in known] == []
    assert all(len(reason) > 20 for reason in EQUIVALENTS.values())


MODULE = """\
LIMIT = 5
OTHER = LIMIT + 1


def below(a):
    return a < OTHER
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with two modules, of which one uses a constant of the other."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/x.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "app/y.py").write_text("from app.x import OTHER\n\n\ndef g():\n    return OTHER\n", encoding="utf-8")
    return tmp_path


def places(tree: Path, mutant: Mutant) -> set[tuple[str, int]]:
    return {(path, line) for path, lines in Users(tree).places(mutant) for line in lines}


def test_a_constant_is_tried_by_the_tests_of_the_functions_that_use_it(tree: Path) -> None:
    """Directly, through another constant, and in another module; a function is tried by its own tests."""
    mutants = list(mutants_of("app/x.py", MODULE))
    constant = next(one for one in mutants if one.before == "LIMIT = 5")
    assert places(tree, constant) == {("app/x.py", 6), ("app/y.py", 5)}
    own = next(one for one in mutants if one.before == "return a < OTHER")
    assert places(tree, own) == {("app/x.py", 6)}


def recording(directory: Path, lines_by_test: Mapping[str, Sequence[int]], seconds: dict[str, float]) -> Recording:
    """What a run of these tests has recorded of ``app/x.py``."""
    data = CoverageData(str(directory / COVERAGE))
    for test, lines in lines_by_test.items():
        data.set_context(f"{test}|run")
        data.add_lines({"/elsewhere/app/x.py": list(lines)})
    data.write()
    (directory / DURATIONS).write_text(json.dumps(seconds), encoding="utf-8")
    return Recording.read(directory, root=directory)


def test_quick_tests_of_the_line_come_first_within_the_bound(tree: Path) -> None:
    """Then what runs few lines. A test that failed in the recorded run, or runs another line, is not among them."""
    seconds = {"t::slow": 9.0, "tests/unit/t::quick": 0.01, "t::middle": 2.0, "t::broad": 2.0, "t::elsewhere": 0.01}
    touched = {
        "t::slow": [6],
        "tests/unit/t::quick": [6],
        "t::middle": [6],
        "t::broad": [1, 2, 6],
        "t::elsewhere": [1],
        "t::failed": [6],
    }
    mutant = next(one for one in mutants_of("app/x.py", MODULE) if one.before == "return a < OTHER")
    plan = Plan(recording(tree, touched, seconds), Users(tree), 10.0)
    assert plan.groups_for(mutant) == ([["tests/unit/t::quick"], ["t::middle", "t::broad"]], 4)
    plan.has_noticed(mutant, "t::slow")
    assert plan.groups_for(mutant)[0] == [["tests/unit/t::quick"], ["t::slow"]]
    plan.leave_out("tests/unit/t::quick")
    assert plan.groups_for(mutant)[0] == [["t::slow"]]


def test_a_recording_follows_lines_that_have_moved(tree: Path) -> None:
    """A recorded run takes long: a change elsewhere in the file does not make it worthless."""
    (tree / SOURCES).write_text(json.dumps({"app/x.py": MODULE}), encoding="utf-8")
    (tree / "app/x.py").write_text("# new\n\n" + MODULE.replace("LIMIT = 5", "LIMIT = 6"), encoding="utf-8")
    recorded = recording(tree, {"t::a": [1], "t::b": [6]}, {"t::a": 0.01, "t::b": 0.01})
    assert recorded.touching("app/x.py", [8]) == {"t::b"}
    assert recorded.touching("app/x.py", range(1, 8)) == set()


def test_a_constant_is_tried_by_the_quick_tests_of_files_that_name_its_module(tree: Path) -> None:
    """They may look at its value, which runs no line."""
    (tree / "test_named.py").write_text("from app.x import OTHER\n", encoding="utf-8")
    (tree / "test_other.py").write_text("from app.y import LIMIT\n", encoding="utf-8")
    seconds = {"test_named.py::a": 0.01, "test_named.py::slow": 5.0, "test_other.py::a": 0.01}
    plan = Plan(recording(tree, {}, seconds), Users(tree), 10.0)
    constant, own = [one for one in mutants_of("app/x.py", MODULE) if one.before in {"LIMIT = 5", "return a < OTHER"}][
        :2
    ]
    assert plan.groups_for(constant) == ([["test_named.py::a"]], 1)
    assert plan.groups_for(own) == ([], 0)


def test_the_score_leaves_out_what_changes_nothing_and_bounds_it() -> None:
    """95 of 100 are enough, 94 are not; nine equivalents of a hundred are too many."""
    assert Score(noticed=95, survived=5, equivalent=0).is_enough(95.0)
    assert not Score(noticed=94, survived=6, equivalent=0).is_enough(95.0)
    assert Score(noticed=92, survived=0, equivalent=8).is_enough(95.0)
    assert not Score(noticed=91, survived=0, equivalent=9).is_enough(95.0)
    assert not Score(noticed=0, survived=0, equivalent=0).is_enough(95.0)
