"""The rules of this code that imports alone cannot show; the import rules are in pyproject.toml (import-linter).

Each allow-list entry has its reason. An entry that is no longer needed fails too.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.source_code import check_allowed, name_of, python_files, tree_of

PACKAGES = ("app", "simulator", "embedded")

BUILT_AT_IMPORT: dict[str, str] = {
    "app/kit/answer_time.py::_answer_by": "a context variable holds no value itself: each request sets its own",
}
"""``file::name`` of instances that are made at import, with the reason."""

PURE = (
    "app/orders/state/trading_days.py",
    "app/orders/reconciliation/inferred_fills.py",
    "app/orders/state/lifecycle.py",
    "app/orders/batches/saga.py",
    "app/orders/batches/legs.py",
    "app/orders/reconciliation/anomaly_rules.py",
    "app/orders/reconciliation/doubt_rules.py",
    "app/orders/reconciliation/read_schedule.py",
    "app/orders/entry/validation.py",
    "app/orders/risk/limits.py",
    "app/orders/sending/circuit_breaker.py",
    "app/market/calendar/exchange_hours.py",
    "app/market/history/ranges.py",
    "app/market/instruments/dump_schedule.py",
    "app/market/instruments/index.py",
    "app/market/quotes/broker_quote.py",
    "app/market/subscriptions/allocation.py",
    "app/market/subscriptions/desired_state.py",
    "app/market/subscriptions/tick_status.py",
    "app/market/ticks/conflation.py",
    "app/market/ticks/redis_commands.py",
    "app/market/ticks/tick_source.py",
    "app/kite/wire/*.py",
    "app/webhooks/public_addresses.py",
    "app/webhooks/retries.py",
    "app/webhooks/signing.py",
    "app/webhooks/target.py",
    "app/kit/backoff.py",
)
IMPURE_MODULES = {
    "asyncio", "httpx", "redis", "psycopg", "fastapi", "starlette", "socket", "random", "secrets", "time", "uuid4",
    "loguru", "websockets", "picows", "threading", "subprocess", "os",
}  # fmt: skip
IMPURE_CALLS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter", "uuid4", "uuid1", "randbits"}
IMPURE_OWNERS = {"datetime", "date", "time", "uuid", "random", "secrets"}

VALUE_FACTORIES = {
    # what a module may call at its top level: it yields a constant, a type or a pattern
    "Decimal", "Path", "SecretStr", "TypeVar", "ZoneInfo", "compile", "frozenset", "timedelta", "NewType", "ParamSpec",
    "MappingProxyType", "tuple", "range", "time", "date", "datetime", "Struct", "calcsize", "bytes", "set", "Fraction",
    "IPv4Network", "IPv6Network", "replace", "field", "cast", "resolve", "join", "getattr",
    # codecs are compiled like patterns and keep nothing between two calls
    "Encoder", "Decoder", "Meta",
    # FastAPI and pydantic: what stands in an Annotated[...]
    "Depends", "Query", "Header", "Field", "Body", "PathParameter", "StringConstraints", "AfterValidator",
    "BeforeValidator", "WithJsonSchema",
}  # fmt: skip


def _called(call: ast.Call) -> str:
    """The last part of what is called: ``compile`` for ``re.compile(...)``."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=ast.Name(id=name)):
            return name
    return ast.unparse(call.func)


def _value_classes(package: str) -> set[str]:
    """Frozen dataclasses and enums of the package: making one at import makes a constant."""
    names = set()
    for path in python_files(package):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                frozen = any("frozen=True" in ast.unparse(decorator) for decorator in node.decorator_list)
                enum = any("Enum" in ast.unparse(base) or "NamedTuple" in ast.unparse(base) for base in node.bases)
                if frozen or enum:
                    names.add(node.name)
    return names


def _top_level_calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Calls whose result a module keeps: those in assignments at its top level and in class bodies."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            for inner in ast.walk(node.value):
                if isinstance(inner, ast.Call):
                    yield ast.unparse(target), inner
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield "(expression)", node.value


def test_no_module_builds_anything_at_import() -> None:
    """No module-level clients, settings, applications, locks or caches: everything is made by the composition root."""
    values = _value_classes("app") | VALUE_FACTORIES
    found = {
        f"{name_of(path)}::{target}": ast.unparse(call)[:80]
        for path in python_files("app")
        for target, call in _top_level_calls(tree_of(path))
        if _called(call) not in values and not _is_main_guard(path)
    }
    check_allowed(found, BUILT_AT_IMPORT, rule="built at import")


def _is_main_guard(path: Path) -> bool:
    return path.name == "__main__.py"


def test_no_module_keeps_mutable_state() -> None:
    """A list, set or dictionary at module level is a constant: upper-case, and never written to with ``global``."""
    for path in python_files("app"):
        tree = tree_of(path)
        assert not any(isinstance(node, ast.Global) for node in ast.walk(tree)), name_of(path)
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Dict | ast.Set):
                name = ast.unparse(node.targets[0])
                assert name.lstrip("_").isupper() or name == "__all__", f"{name_of(path)}: {name}"


def _pure_files() -> list[Path]:
    return [path for pattern in PURE for path in sorted(ROOT.glob(pattern))]


def test_the_list_of_pure_files_is_real() -> None:
    """A renamed file must not leave the rule behind."""
    for pattern in PURE:
        assert list(ROOT.glob(pattern)), pattern


@pytest.mark.parametrize("path", _pure_files(), ids=name_of)
def test_deciding_code_does_no_io(path: Path) -> None:
    """No ``async``, no clock, no randomness, no network, no database: ``now`` and chance are arguments."""
    tree = tree_of(path)
    for node in ast.walk(tree):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"line {node.lineno}: async"
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            assert not names & IMPURE_MODULES, f"line {node.lineno}: {names & IMPURE_MODULES}"
        if isinstance(node, ast.ImportFrom):
            names = {(node.module or "").split(".")[0], *(alias.name for alias in node.names)}
            impure = names & (IMPURE_MODULES - {"time"}) | ({"time"} if node.module == "time" else set())
            assert not impure, f"line {node.lineno}: {impure}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_CALLS:
            owner = ast.unparse(node.func.value).split(".")[-1]
            assert owner not in IMPURE_OWNERS, f"line {node.lineno}: {ast.unparse(node.func)}"


def test_background_loops_belong_to_the_supervisor() -> None:
    """The failure of a bare task goes unnoticed. A TaskGroup's tasks are not bare: it waits for them."""
    for path in python_files("app"):
        if name_of(path) in {"app/kit/supervisor.py", "app/kit/probe.py"}:  # these make tasks and wait for them
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"asyncio.create_task", "asyncio.ensure_future", "create_task"}, name_of(path)
                assert not re.search(r"loop\(?\)?\.create_task$", called), name_of(path)


def test_no_error_is_swallowed() -> None:
    """``except: pass`` hides errors from the operator; a narrow one says on its line why it does nothing."""
    for path in python_files(*PACKAGES):
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ExceptHandler):
                where = f"{name_of(path)}:{node.lineno}"
                assert node.type is not None, where
                if all(isinstance(step, ast.Pass) for step in node.body):
                    assert ast.unparse(node.type) not in {"Exception", "BaseException"}, where
                    assert "#" in lines[node.body[0].lineno - 1], where


def test_sql_stands_in_store_files() -> None:
    """And in ``app/db``: a statement is found by the name of its file, and no other package knows a table."""
    for path in python_files("app"):
        if path.stem.endswith("_store") or path.is_relative_to(ROOT / "app/db"):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "execute":
                is_text = node.args and isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp | ast.Name)
                assert not is_text, f"{name_of(path)}:{node.lineno}"


def test_values_never_become_sql_text() -> None:
    """A statement is put together from parts in store files alone, where the parts are constants."""
    for path in python_files("app"):
        if path.stem.endswith("_store"):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "execute":
                composed = node.args and isinstance(node.args[0], ast.JoinedStr | ast.BinOp)
                assert not composed, f"{name_of(path)}:{node.lineno}"


def test_only_the_command_line_prints() -> None:
    """Everything else logs."""
    for path in python_files("app"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", name_of(path)


def test_every_module_has_a_docstring() -> None:
    """A docstring at the top of each file that holds code."""
    for path in python_files(*PACKAGES):
        tree = tree_of(path)
        assert not tree.body or ast.get_docstring(tree), name_of(path)


def test_tests_use_no_patches_or_mocks() -> None:
    """Real servers and constructor arguments instead of patches, mocks and dependency overrides."""
    forbidden = re.compile(r"\b(unittest\.mock|MagicMock|AsyncMock|monkeypatch|dependency_overrides|mocker)\b")
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path != Path(__file__):
            assert not forbidden.search(path.read_text(encoding="utf-8")), name_of(path)


def test_the_version_is_the_same_in_the_package_and_its_metadata() -> None:
    """``pyproject.toml`` and the package agree."""
    from app import __version__  # noqa: PLC0415 - the rest of this file reads sources and imports nothing

    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()
