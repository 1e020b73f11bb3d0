"""Settings, routes, commands, files and links that the documents name exist."""

import ast
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from app import __version__
from app.__main__ import build_cli
from app.config import Settings
from app.main import create_app
from tests import documents
from tests.documents import NAMES, ROOT, code_blocks, inline_code, read
from tests.faults.mutate import MUTATIONS

WEBSOCKETS = {"/advanced/ws/orders/{account_id}", "/ws/ticks"}
"""OpenAPI does not describe them; ``test_the_websockets_are_there`` finds them in the application."""
UNDESCRIBED = {"/docs"}
MADE_LATER = (".data", ".venv", ".env", "secrets")
"""What the reader's own commands make."""
METHOD = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE|WebSocket)\b")
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|^(?:HOST|PORT|PAPER|ENVIRONMENT)(?==|$)")
NOT_OURS = re.compile(
    r"/work/|/root\b|/home/|/Users/|/opt/|file:///|pypi|(?<!emit-)index-url|ghcr\.io|docker\.io|registry\."
)


def _service_settings() -> set[str]:
    return {name.upper() for name in Settings.model_fields}


def _launcher_settings() -> set[str]:
    """The variables that ``make run`` reads itself."""
    tree = ast.parse(read("embedded/settings.py"))
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {word for word in words if word.isupper() and word.replace("_", "").isalpha()}


def is_setting(name: str) -> bool:
    """Of the service, of ``make run``, or a service's setting given as a file."""
    known = _service_settings()
    return name in known | _launcher_settings() or (name.endswith("_FILE") and name.removesuffix("_FILE") in known)


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    """The description that the running service gives of itself."""
    return create_app(Settings(api_key="documents")).openapi()


def _routes(openapi: dict[str, Any]) -> set[tuple[str, str]]:
    described = {(method.upper(), path) for path, methods in openapi["paths"].items() for method in methods}
    return described | {("WebSocket", path) for path in WEBSOCKETS} | {("GET", path) for path in UNDESCRIBED}


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_that_is_named_exists(name: str) -> None:
    """An old name in a document sends its reader looking for nothing."""
    code_of_settings = [code for code in inline_code(read(name)) if "::" not in code]  # that is a file's symbol
    named = {word for code in code_of_settings for word in VARIABLE.findall(code)}
    assert {word for word in named if not is_setting(word)} == set()


def test_the_variables_of_make_run_are_named() -> None:
    """The README has them all, as the Makefile's own help does."""
    named = {word for code in inline_code(read("README.md")) for word in VARIABLE.findall(code)}
    assert {"API_KEY", "PORT", "SIM_PORT", "DATA_DIR", "DATABASE_URL", "REDIS_URL"} == _launcher_settings()
    assert named >= _launcher_settings()


@pytest.mark.parametrize("name", NAMES)
def test_every_route_that_is_named_exists(name: str, openapi: dict[str, Any]) -> None:
    """Paths in inline code are paths of the service, or of the simulator's controls."""
    paths = {code.split("?")[0] for code in inline_code(read(name)) if code.startswith("/")}
    sources = read("simulator/rest/control.py") + read("simulator/rest/overview.py")
    controls = set(re.findall(r'"(/_sim/[^"]*)"', sources))
    assert paths - {path for _, path in _routes(openapi)} - controls == set()


def _table() -> Iterator[tuple[str, str]]:
    """(method, path) of each entry of the README's table of routes."""
    for line in read("README.md").splitlines():
        cell = line.split("|")[1] if METHOD.match(line.removeprefix("| ")) else ""
        methods: list[str] = []
        for entry in cell.split("·"):
            methods = METHOD.findall(entry) or methods
            for path in inline_code(entry):
                yield from ((method, path) for method in methods)


def test_the_table_of_the_readme_is_the_api(openapi: dict[str, Any]) -> None:
    """Every method and path of the service is in it, and nothing else."""
    listed = list(_table())
    assert len(listed) == len(set(listed))
    assert set(listed) == _routes(openapi) - {("GET", path) for path in UNDESCRIBED}


def test_the_websockets_are_there() -> None:
    """Each is declared by a router."""
    declared = "".join(read(f"app/api/{name}.py") for name in ("order_stream", "tick_stream"))
    assert set(re.findall(r'\.websocket\("([^"]+)"', declared)) == WEBSOCKETS


def test_make_targets_that_are_named_exist() -> None:
    """In text and in blocks."""
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    for name in NAMES:
        code = "\n".join([*inline_code(read(name)), *code_blocks(read(name), "bash")])
        assert set(re.findall(r"\bmake ([a-z]+)", code)) <= targets, name


@pytest.mark.parametrize("name", NAMES)
def test_every_path_that_is_named_exists(name: str) -> None:
    """Files and directories in inline code; those that a command makes later are excused."""
    for code in inline_code(read(name)):
        is_path = re.fullmatch(r"\.?[a-z][\w.-]*(/[\w.-]+)*/?", code) and re.search(
            r"/|\.(md|py|yml|txt|in|toml|json)$", code
        )
        if is_path and not code.startswith(MADE_LATER):
            assert (ROOT / code).exists(), code


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_resolves(name: str) -> None:
    """To a file or a directory of this repository."""
    for link in documents.links(read(name)):
        if not link.startswith(("https://", "#")):
            target = (ROOT / link.split("#")[0]).resolve()
            assert target.exists(), link
            assert target.is_relative_to(ROOT), link


def test_commands_of_the_service_exist_with_their_options() -> None:
    """``python -m app ...`` in every document; programs beside it are modules that exist."""
    cli = typer.main.get_command(build_cli())
    commands: dict[str, Any] = getattr(cli, "commands")  # noqa: B009 - a group, which typer types as a command
    shown = [code for name in NAMES for code in [*inline_code(read(name)), *code_blocks(read(name), "bash")]]
    calls = re.findall(r"python -m app (\w+)([^\n`]*)", "\n".join(shown))
    assert {command for command, _ in calls} >= {"serve", "migrate", "doctor", "login", "tail"}
    for command, arguments in calls:
        options = {option for parameter in commands[command].params for option in parameter.opts}
        assert set(re.findall(r"(?<= )--[a-z-]+", arguments)) <= options, (command, arguments)
    for module in set(re.findall(r"python -m ((?:embedded|simulator)[\w.]*)", "\n".join(shown))):
        assert importlib.util.find_spec(module) is not None, module


@pytest.mark.parametrize("name", NAMES)
def test_curl_commands_are_well_formed(name: str, openapi: dict[str, Any]) -> None:
    """One URL, JSON that parses, a route that exists, and the key wherever one is needed."""
    for command in documents.curl_commands(read(name)):
        assert (command.method, command.path.split("?")[0]) in _routes(openapi)
        assert "X-API-Key" in command.headers or command.path == "/health"
        if command.body is not None:
            assert command.headers["Content-Type"] == "application/json"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash to check the syntax with")
@pytest.mark.parametrize("name", NAMES)
def test_shell_blocks_are_valid_bash(name: str) -> None:
    """``bash -n`` reads them without running anything."""
    script = "\n".join(code_blocks(read(name), "bash"))
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)  # noqa: S607
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    "name", [*NAMES, "LICENSE", "Dockerfile", "docker-compose.prod.yml", ".dockerignore", "Makefile", ".env.example"]
)
def test_documents_speak_of_the_product_alone(name: str) -> None:
    """No path of a developer's machine and no address of a registry."""
    assert NOT_OURS.findall(read(name)) == []


def test_the_license_is_mit() -> None:
    """In the file, in the project's metadata, and whole."""
    text = " ".join(read("LICENSE").split())
    assert text.startswith("MIT License Copyright (c) ")
    assert "ticker-service contributors" in text
    assert "without restriction, including without limitation the rights to use, copy, modify, merge, publish" in text
    assert text.endswith("OR OTHER DEALINGS IN THE SOFTWARE.")
    assert 'license = "MIT"' in read("pyproject.toml")


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    """Keep a Changelog's order, and the version that the code carries."""
    headings = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert __version__ in read("CHANGELOG.md")


def test_the_table_of_guards_is_the_list_of_what_mutate_takes_away() -> None:
    """Each guard is where the list says, once, and its test exists; the table has the same rows in the same order."""
    rows = re.findall(r"^\| (.+?) \| `(app/.+?)` \| `(.+?)` \|$", read("tests/faults/README.md"), re.MULTILINE)
    assert rows == [(one.name, one.path, one.test.removeprefix("tests/")) for one in MUTATIONS]
    for one in MUTATIONS:
        assert read(one.path).count(one.old) == 1, one.name
        path, _, name = one.test.partition("::")
        assert not name or f"def {name}(" in read(path), one.name
