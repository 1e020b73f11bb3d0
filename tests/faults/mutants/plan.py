"""Which tests are run against a mutant, in which order: those that are likely to notice it first.

Of tests that are equally quick, the one that runs fewer lines says more about each of them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.mutants.mutant import Mutant
from tests.faults.mutants.touching import Recording, Users
from tests.faults.mutate import MUTATIONS

UNIT = "tests/unit/"
"""They come first: together they cost what one test with servers costs."""

QUICK_S = 0.1
"""A test of less needs no server."""

SLOW_FACTOR, EXTRA_S = 10.0, 20.0
"""A test that takes longer than ten times its recorded seconds and twenty more hangs, which notices the mutant."""


def _named_tests() -> dict[str, set[str]]:
    """The tests that ``mutate.py`` names for the guards of a file."""
    named: defaultdict[str, set[str]] = defaultdict(set)
    for mutation in MUTATIONS:
        named[mutation.path].add(mutation.test)
    return named


@dataclass(slots=True)
class Plan:
    """``seconds`` bounds the recorded time of the tests for one mutant."""

    recording: Recording
    users: Users
    seconds: float
    _named: dict[str, set[str]] = field(default_factory=_named_tests)
    _texts: dict[str, str] = field(default_factory=dict)
    _noticed: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def groups_for(self, mutant: Mutant) -> tuple[list[list[str]], int]:
        """The tests to run, those that are likelier or quicker first, and the number of all that run the line."""
        touching = set[str]()
        for path, lines in self.users.places(mutant):
            touching |= self.recording.touching(path, lines)
        if not self.users.is_within_a_function(mutant):
            touching |= self._naming(mutant.path, self.users.symbol(mutant))
        groups: dict[int, list[str]] = {}
        left = self.seconds
        for test in sorted(touching, key=lambda test: self._rank(mutant, test)):
            left -= self.recording.seconds[test]
            if left < 0 and groups:
                break
            groups.setdefault(self._rank(mutant, test)[0], []).append(test)
        return list(groups.values()), len(touching)

    def _naming(self, path: str, symbol: str) -> set[str]:
        """Tests in files that name the module, which may look at a constant without running a line of it.

        All of a file that names the symbol too, else the quick ones.
        """
        module = path.removesuffix(".py").replace("/", ".")
        found = set[str]()
        for test in self.recording.seconds:
            text = self._text_of(test.partition("::")[0])
            if module in text and (self.is_quick(test) or re.search(rf"\b{symbol}\b", text)):
                found.add(test)
        return found

    def _text_of(self, file: str) -> str:
        if file not in self._texts:
            path = self.users.root / file
            self._texts[file] = path.read_text(encoding="utf-8") if path.exists() else ""
        return self._texts[file]

    def _rank(self, mutant: Mutant, test: str) -> tuple[int, int, float, str]:
        seconds = self.recording.seconds[test]
        noticed = self._noticed[mutant.path][test]  # other mutants of the file
        named = {test, test.partition("[")[0], test.partition("::")[0]} & self._named.get(mutant.path, set())
        group = 0 if test.startswith(UNIT) else 1 if self.is_quick(test) or named or noticed else 2
        return (group, -noticed, seconds * self.recording.breadth[test], test)

    def is_quick(self, test: str) -> bool:
        """Whether it takes milliseconds: no server, no wait, nothing that fails by chance."""
        return self.recording.seconds.get(test, QUICK_S) < QUICK_S

    def timeout_s(self, tests: Sequence[str]) -> float:
        """After how many seconds one of these tests hangs."""
        return EXTRA_S + SLOW_FACTOR * max((self.recording.seconds[test] for test in tests), default=0.0)

    def has_noticed(self, mutant: Mutant, test: str) -> None:
        """The tests that notice one mutant of a file come earlier for the next ones."""
        self._noticed[mutant.path][test] += 1

    def leave_out(self, test: str) -> None:
        """Never run this test again: it fails in a tree without a change."""
        self.recording.seconds.pop(test, None)
