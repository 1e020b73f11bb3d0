"""Which orders of the steps of two operations are run, and in which sequence. Pure.

An order is a schedule: the choices of all steps, in a row. Those with the fewest changes from one actor to the other
where none was forced come first: most faults need one or two, and the first schedule that fails is then one of the
shortest.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from tests.interleavings.scheduler import Choose, Kind, Run

Orders: TypeAlias = Literal["all", "different"]
"""``different``: of orders that differ by steps that commute only one is given."""

_AT_BROKER = frozenset({Kind.ASK, Kind.SEND})
_COMMUTE = (
    {Kind.READ},
    {Kind.READ, Kind.WRITE},  # nothing reads what is not committed, and reads take no locks
    {Kind.END},
    {Kind.ASK},
)


class Exploration:
    """``next_beginning`` gives the beginning of an order that was not run yet; ``learn`` takes how that run went.

    After the beginning the actor that was granted last goes on as long as it can.
    """

    def __init__(self, actors: Sequence[str], *, orders: Orders, shuffle: random.Random | None = None) -> None:
        self._level = deque(actors)
        self._next_level: list[str] = []
        self._orders = orders
        self._shuffle = shuffle
        self.changes = 0
        """Unforced changes in the orders that are given now."""

    def next_beginning(self) -> str | None:
        """None when every order has been given."""
        if not self._level:
            if self._shuffle is not None:
                self._shuffle.shuffle(self._next_level)
            self._level, self._next_level = deque(self._next_level), []
            self.changes += 1
        return self._level.popleft() if self._level else None

    def learn(self, beginning: str, run: Run) -> None:
        """From what this order has shown: where else another choice was possible."""
        self._next_level += branches(beginning, run, orders=self._orders)


def branches(beginning: str, run: Run, *, orders: Orders) -> Iterator[str]:
    """The beginnings that differ from this run by one more unforced change, behind those of its own beginning."""
    schedule = run.schedule
    for number, step in enumerate(run.steps):
        if number < len(beginning):
            continue
        for other, kind in step.ready.items():
            if other == step.choice or (other.isupper() and not schedule[:number].islower()):
                continue  # one wait that ends at its bound is enough for one run
            before = run.steps[number - 1]
            is_swapped = other < before.choice and other in before.ready and commute(before.kind, kind)
            if orders == "all" or not is_swapped:
                yield schedule[:number] + other


def commute(one: Kind, other: Kind) -> bool:
    """Whether two steps of different operations, one right after the other, do the same in either order."""
    if Kind.OTHER in {one, other}:
        return False
    if (one in _AT_BROKER) != (other in _AT_BROKER):
        return True
    return {one, other} in _COMMUTE


def orders_at_most(run: Run) -> int:
    """How many orders there were if every step of one operation could follow every step of the other."""
    lengths = lengths_of(run)
    return math.comb(sum(lengths.values()), min(lengths.values()))


def lengths_of(run: Run) -> dict[str, int]:
    """Steps of each operation."""
    names = {step.choice.lower() for step in run.steps}
    return {name: run.schedule.lower().count(name) for name in sorted(names)}


def random_order(seed: int, *, lengths: Mapping[str, int]) -> Choose:
    """Each order about as likely as any other: an actor is granted a step in proportion to those that it has left.

    In one run of ten the first wait for a lock ends at its bound.
    """
    chance = random.Random(seed)
    left = dict(lengths)
    ends_wait = chance.random() < 0.1

    def choose(ready: Sequence[str]) -> str:
        nonlocal ends_wait
        waits = [name for name in ready if name.isupper()]
        if waits and ends_wait:
            ends_wait = False
            return waits[0]
        names = [name for name in ready if name.islower()]
        name = chance.choices(names, [max(1, left.get(name, 1)) for name in names])[0]
        left[name] = left.get(name, 1) - 1
        return name

    return choose
