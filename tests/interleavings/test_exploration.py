"""Every order is given once, those with few changes first; of orders that differ by steps that commute, one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import pytest

from tests.interleavings.exploration import Exploration, Orders, commute, lengths_of, orders_at_most, random_order
from tests.interleavings.scheduler import Kind, Run, Step, following

Programs = Mapping[str, Sequence[Kind]]


def run_of(programs: Programs, beginning: str) -> Run:
    """A run of programs that never block."""
    choose, run, at = following(beginning), Run(), dict.fromkeys(programs, 0)
    while ready := {name: kinds[at[name]] for name, kinds in programs.items() if at[name] < len(kinds)}:
        choice = choose(list(ready))
        run.steps.append(Step(choice=choice, label="", kind=ready[choice], ready=ready))
        at[choice] += 1
    return run


def explored(programs: Programs, orders: Orders) -> list[str]:
    exploration, found = Exploration(list(programs), orders=orders), []
    while beginning := exploration.next_beginning():
        run = run_of(programs, beginning)
        exploration.learn(beginning, run)
        found.append(run.schedule)
    return found


def changes(schedule: str) -> int:
    return len(list(itertools.groupby(schedule))) - 1


def classes(programs: Programs) -> set[frozenset[str]]:
    """Orders that one comes to from another by swapping neighbours that commute, by going through all of them."""
    names = "".join(name * len(kinds) for name, kinds in programs.items())
    left = {"".join(order) for order in itertools.permutations(names)}
    found = set()
    while left:
        group, waiting = set[str](), [left.pop()]
        while waiting:
            order = waiting.pop()
            group.add(order)
            waiting += [other for other in swapped(programs, order) if other not in group]
        left -= group
        found.add(frozenset(group))
    return found


def swapped(programs: Programs, order: str) -> list[str]:
    kinds = [programs[name][order[:number].count(name)] for number, name in enumerate(order)]
    return [
        order[:number] + order[number + 1] + order[number] + order[number + 2 :]
        for number in range(len(order) - 1)
        if order[number] != order[number + 1] and commute(kinds[number], kinds[number + 1])
    ]


@pytest.mark.parametrize(("steps_a", "steps_b"), [(1, 1), (2, 3), (4, 4)])
def test_every_order_is_given_once(steps_a: int, steps_b: int) -> None:
    """As many as there are ways to merge the two, and fewer changes first."""
    found = explored({"a": [Kind.OTHER] * steps_a, "b": [Kind.OTHER] * steps_b}, "all")
    assert len(found) == len(set(found)) == math.comb(steps_a + steps_b, steps_a)
    # the last change of an order is forced where the other operation has ended
    assert [changes(one) for one in found[:2]] == [1, 1]


READ, WRITE, END, ASK, SEND = Kind.READ, Kind.WRITE, Kind.END, Kind.ASK, Kind.SEND


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([READ, READ], [READ, READ]),
        ([READ, WRITE, END], [READ, WRITE, END]),
        ([WRITE, END, SEND], [READ, ASK, WRITE]),
        ([ASK, READ, END], [WRITE, WRITE, END]),
    ],
)
def test_one_order_of_each_class_is_given(a: list[Kind], b: list[Kind]) -> None:
    """None is left out, and few are given twice."""
    programs = {"a": a, "b": b}
    found, wanted = explored(programs, "different"), classes(programs)
    assert all(any(order in group for order in found) for group in wanted)
    assert len(found) <= len(explored(programs, "all"))


def test_waits_end_at_their_bound_once_in_a_run() -> None:
    """Where one is blocked, the end of its wait is a choice of its own, and only the first time."""
    ready = {"a": Kind.WRITE, "B": Kind.OTHER}
    step = Step(choice="a", label="", kind=Kind.WRITE, ready=ready)
    blocked = Step(choice="b", label="", kind=Kind.WRITE, ready={"a": Kind.WRITE, "b": Kind.WRITE}, blocked=True)
    run = Run(steps=[blocked, step, step])
    exploration = Exploration(["b"], orders="all")
    assert exploration.next_beginning() == "b"
    exploration.learn("b", run)
    assert [exploration.next_beginning() for _ in range(3)] == ["bB", "baB", None]
    again = Exploration(["bB"], orders="all")
    assert again.next_beginning() == "bB"
    again.learn("bB", Run(steps=[blocked, Step(choice="B", label="", kind=Kind.OTHER, ready=ready), step]))
    assert again.next_beginning() is None


def test_random_orders_are_repeated_by_their_seed() -> None:
    """The same number, the same choices; many numbers, many orders."""
    programs = {"a": [Kind.OTHER] * 5, "b": [Kind.OTHER] * 5}
    lengths = lengths_of(run_of(programs, "a"))
    assert lengths == {"a": 5, "b": 5}
    assert orders_at_most(run_of(programs, "a")) == 252

    def order(seed: int) -> str:
        choose, left = random_order(seed, lengths=lengths), dict(lengths)
        steps = ""
        while ready := [name for name, count in left.items() if count]:
            steps += choose(ready)
            left[steps[-1]] -= 1
        return steps

    assert order(7) == order(7)
    assert len({order(seed) for seed in range(100)}) > 60
