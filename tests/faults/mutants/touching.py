"""Which tests run a line, from one recorded run of the tests: coverage with contexts, and the duration of each test.

A line within a function is run by tests. One outside is run by the import of its module: what counts there are the
functions that use the name which it defines, in any module.
"""

from __future__ import annotations

import ast
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from coverage import CoverageData

from tests.faults.mutants.mutant import Mutant

COVERAGE, DURATIONS, SOURCES = "coverage", "durations.json", "sources.json"
"""The files of a recording, in its directory. The last has the files as they were; without it they have not changed."""

_PHASES = ("|setup", "|run", "|teardown")
_Symbol: TypeAlias = tuple[str, str]
"""Path and name of what a module defines at its top level."""


@dataclass
class Recording:
    """One run of tests: the seconds of each, and the tests that ran each line."""

    seconds: dict[str, float]
    tests: dict[str, dict[int, set[str]]]  # by path and line

    @classmethod
    def read(cls, directory: Path, *, root: Path) -> Recording:
        """The recordings below ``directory`` as one, with the lines of the files below ``root``.

        Raises FileNotFoundError where there is none.
        """
        found = sorted(directory.glob(f"**/{DURATIONS}"))
        if not found:
            raise FileNotFoundError(f"no {DURATIONS} below {directory}: record a run of the tests first (--record)")
        whole = cls(seconds={}, tests={})
        for durations in found:
            whole.seconds.update(json.loads(durations.read_text(encoding="utf-8")))
            sources = durations.with_name(SOURCES)
            whole._add(durations.with_name(COVERAGE), json.loads(sources.read_text()) if sources.exists() else {}, root)
        return whole

    def _add(self, coverage: Path, sources: Mapping[str, str], root: Path) -> None:
        data = CoverageData(str(coverage))
        data.read()
        for file in data.measured_files():
            path = _below_app(file)
            lines = self.tests.setdefault(path, defaultdict(set))
            moved = _moved(sources.get(path), root / path)
            for line, contexts in data.contexts_by_lineno(file).items():
                lines[line if moved is None else moved.get(line, 0)] |= {_test_of(one) for one in contexts if one}

    def keep(self, tests: set[str]) -> None:
        """Forget all tests but these."""
        self.seconds = {test: seconds for test, seconds in self.seconds.items() if test in tests}

    @cached_property
    def breadth(self) -> Counter[str]:
        """How many lines each test runs: the fewer, the more it says about each of them."""
        return Counter(test for lines in self.tests.values() for tests in lines.values() for test in tests)

    def touching(self, path: str, lines: Iterable[int]) -> set[str]:
        """The tests that ran one of these lines and passed."""
        by_line = self.tests.get(path, {})
        found: set[str] = set().union(*(by_line.get(line, set()) for line in lines))
        return found & self.seconds.keys()


def _moved(before: str | None, file: Path) -> dict[int, int] | None:
    """Where each line of a file is now, by its number before; None where nothing has moved."""
    now = file.read_text(encoding="utf-8") if file.exists() else ""
    if before is None or before == now:
        return None
    blocks = SequenceMatcher(None, before.splitlines(), now.splitlines(), autojunk=False).get_matching_blocks()
    return {old + n + 1: new + n + 1 for old, new, size in blocks for n in range(size)}


def _below_app(file: str) -> str:
    return file[file.rindex("/app/") + 1 :]


def _test_of(context: str) -> str:
    phase = next((one for one in _PHASES if context.endswith(one)), "")
    return context.removesuffix(phase)


@dataclass(slots=True)
class _Module:
    """What is defined at a module's top level: the lines of each function, and the names that each symbol uses."""

    functions: dict[str, list[range]] = field(default_factory=dict)
    uses: dict[str, set[str]] = field(default_factory=dict)
    imported: dict[str, _Symbol] = field(default_factory=dict)
    symbol_lines: list[tuple[range, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Users:
    """Which functions use a name, directly or through other constants and classes."""

    root: Path

    @cached_property
    def _modules(self) -> Mapping[str, _Module]:
        return {
            path.relative_to(self.root).as_posix(): _module_of(ast.parse(path.read_text(encoding="utf-8")))
            for path in sorted((self.root / "app").rglob("*.py"))
        }

    @cached_property
    def _used_by(self) -> Mapping[_Symbol, set[_Symbol]]:
        users: dict[_Symbol, set[_Symbol]] = defaultdict(set)
        for path, module in self._modules.items():
            for symbol, names in module.uses.items():
                for name in names:
                    users[module.imported.get(name, (path, name))].add((path, symbol))
        return users

    def is_within_a_function(self, mutant: Mutant) -> bool:
        """Whether a call runs the changed line, and not the import of its module."""
        functions = self._modules[mutant.path].functions.values()
        return any(mutant.lines[0] in lines for function in functions for lines in function)

    def symbol(self, mutant: Mutant) -> str:
        """The name at the module's top level that the changed line is part of; empty without one."""
        module = self._modules[mutant.path]
        return next((name for lines, name in module.symbol_lines if mutant.lines[0] in lines), "")

    def places(self, mutant: Mutant) -> Iterator[tuple[str, range]]:
        """The lines whose tests may notice the mutant: its own, or those of the functions that use its name."""
        own = range(mutant.lines[0], mutant.lines[1] + 1)
        if self.is_within_a_function(mutant):
            yield mutant.path, own
            return
        name = self.symbol(mutant)
        if not name:
            return
        todo, seen = [(mutant.path, name)], set[_Symbol]()
        while todo:
            symbol = todo.pop()
            if symbol in seen:
                continue
            seen.add(symbol)
            path, name = symbol
            for lines in self._modules[path].functions.get(name, []):
                yield path, lines
            if symbol == (mutant.path, name) or not self._is_function(symbol):
                todo += self._used_by.get(symbol, set())

    def _is_function(self, symbol: _Symbol) -> bool:
        return symbol[1] in self._modules.get(symbol[0], _Module()).functions


def _module_of(tree: ast.Module) -> _Module:
    module = _Module()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            path = node.module.replace(".", "/") + ".py"
            module.imported.update({one.asname or one.name: (path, one.name) for one in node.names})
        names = _defined(node)
        used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
        used |= {
            one.value.id for one in ast.walk(node) if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name)
        }
        for name in names:
            module.uses.setdefault(name, set()).update(used)
            module.symbol_lines.append((range(node.lineno, (node.end_lineno or node.lineno) + 1), name))
            bodies = [one for one in ast.walk(node) if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))]
            if bodies:
                module.functions[name] = [
                    range(one.body[0].lineno, (one.end_lineno or one.lineno) + 1) for one in bodies
                ]
    return module


def _defined(node: ast.stmt) -> Sequence[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]
