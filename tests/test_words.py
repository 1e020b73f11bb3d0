"""Names and log texts use the field's terms: the words below are metaphors or actors without a name.

Looked at are identifiers (split at underscores and capitals), file names and the texts of log lines. Comments and
documents follow the same rule, see CONTRIBUTING.md.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from tests.source_code import check_allowed, name_of, python_files, tree_of

LOG_METHODS = {"trace", "debug", "info", "success", "warning", "error", "critical", "exception"}
PACKAGES = ("app", "simulator", "chaos", "embedded", "benchmarks", "tests")

BANNED = {
    "bookkeeping": "say what is applied: apply_book",
    "crowd": "the other traders, liquidity",
    "desk": "the component's name; in tests: environment",
    "door": "entry, route, endpoint",
    "floor": "environment, lower bound",
    "gate": "check, limit, access",
    "glance": "what is read: overdue, summary",
    "ground": "resources, accounts",
    "holding": "holds, held tasks",
    "house": "runtime, service",
    "judge": "checker, verdict",
    "nobody": "name the actor",
    "anybody": "name the actor",
    "everybody": "name the actor",
    "somebody": "name the actor",
    "outlook": "what is read",
    "patience": "timeout",
    "person": "operator, client",
    "rehearse": "warm up",
    "rehearsal": "warm-up",
    "reports": "anomalies, or what is reported",
    "room": "package, capacity",
    "rules": "settings; rules only where something is decided by them",
    "stage": "environment",
    "standing": "state, live",
    "tend": "check, probe",
    "tenure": "lease term",
    "told": "reported, sent",
    "trouble": "error, failure",
    "turn": "day change, round, slot",
    "untold": "missing, unreported",
    "watch": "monitor, check, follow",
    "weather": "faults",
    "whoever": "name the actor",
}
"""Each with what to say instead."""
FORMS = {
    "desks": "desk",
    "doors": "door",
    "floors": "floor",
    "gates": "gate",
    "judged": "judge",
    "judges": "judge",
    "judging": "judge",
    "persons": "person",
    "rehearsed": "rehearse",
    "rehearses": "rehearse",
    "rooms": "room",
    "stages": "stage",
    "troubles": "trouble",
    "turned": "turn",
    "turning": "turn",
    "turns": "turn",
    "watched": "watch",
    "watches": "watch",
    "watching": "watch",
}
"""Forms that count as the word. Kite's `holdings` is none of them."""

ALLOWED = {
    "*/orders/*_rules.py: rules": "these files decide by rules, which their tests tabulate",
    "embedded/watch.py: watch": "the command `python -m embedded.watch`, which the README and the banner print",
    "embedded/banner.py: watch": "the banner's line for that command",
    "simulator/*: holding": "Kite's holding: shares that were delivered",
    "tests/e2e/test_alerts.py: rules": "Prometheus' alerting rules",
    "tests/integration/simulator/*: holding": "Kite's holding: shares that were delivered",
    "tests/unit/embedded/test_watch.py: watch": "the tests of the command `python -m embedded.watch`",
}
"""``path pattern: word``, with the reason."""


def parts_of(name: str) -> Iterator[str]:
    """The words of an identifier, in lower case: ``_KiteURLParts`` gives kite, url, parts."""
    for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name):
        yield part.lower()


def banned_in(words: Iterable[str]) -> Iterator[str]:
    """The entries of the list that stand in ``words``."""
    for word in words:
        entry = FORMS.get(word, word)
        if entry in BANNED:
            yield entry


def names_in(tree: ast.Module) -> Iterator[str]:
    """Everything that the module names itself: classes, functions, arguments, variables, attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name


def log_texts_in(tree: ast.Module) -> Iterator[str]:
    """The first argument of each call of the logger."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=method) as called, args=[text, *_]) if method in LOG_METHODS:
                if ast.unparse(called).startswith("logger."):
                    constants = (part.value for part in ast.walk(text) if isinstance(part, ast.Constant))
                    yield from (value for value in constants if isinstance(value, str))


def found_in(*packages: str) -> dict[str, str]:
    """``path: word`` of each banned word, with the name or the text in which it stands."""
    found: dict[str, str] = {}
    for path in python_files(*packages):
        tree = tree_of(path)
        for text in (path.stem, *names_in(tree), *log_texts_in(tree)):
            for word in banned_in(parts_of(text)):
                found.setdefault(f"{name_of(path)}: {word}", text)
    return found


def _allowance(entry: str) -> str:
    """The pattern that allows this entry, or the entry itself."""
    return next((pattern for pattern in ALLOWED if fnmatchcase(entry, pattern)), entry)


def test_names_and_log_texts_use_the_terms_of_the_field() -> None:
    """A stranger knows an order, a lease and a lease term; a tenure, a desk and a crowd have to be explained."""
    found = {
        _allowance(entry): f"{text} (say: {BANNED[entry.rpartition(': ')[2]]})"
        for entry, text in found_in(*PACKAGES).items()
    }
    check_allowed(found, ALLOWED, rule="not a term of the field")


def test_the_words_of_a_name_are_its_parts() -> None:
    """Underscores and capitals separate, digits and punctuation do not count; forms of a word count as the word."""
    assert list(parts_of("_KiteURLParts2_of_a")) == ["kite", "url", "parts", "of", "a"]
    assert list(banned_in(["doors", "watched", "stage", "gateway", "return", "holdings"])) == [
        "door",
        "watch",
        "stage",
    ]
