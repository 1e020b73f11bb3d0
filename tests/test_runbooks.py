"""Every alarm has a page with what to do, and every command, route, setting and metric on it exists."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from app.__main__ import build_cli
from app.config import Settings
from app.main import create_app
from app.orders.sending.held_tasks import HALTED_NEW, NO_SESSION
from app.orders.state.alarms import Alarm
from tests.documents import ROOT, inline_code, links

FOLDER = ROOT / "docs" / "runbooks"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
HEADINGS = ["## What it means", "## What is safe", "## What to do"]
SETTING = re.compile(r"[A-Z]+(?:_[A-Z]+)+")


def _name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("alarm", Alarm)
def test_every_alarm_has_a_page(alarm: Alarm) -> None:
    """Named after it, and found from the index by it."""
    page = f"{alarm.replace('_', '-')}.md"
    assert (FOLDER / page).is_file()
    assert f"`{alarm}`" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("code", [NO_SESSION.error.code, HALTED_NEW.error.code, "HALTED", "BREAKER_OPEN"])
def test_every_reason_to_hold_an_order_is_in_the_index(code: str) -> None:
    """The code of a held task leads to a page."""
    assert f"`{code}`" in (FOLDER / "README.md").read_text()


def test_the_index_names_every_page_once() -> None:
    """Neither a page without a link nor a link to nothing."""
    assert sorted(links((FOLDER / "README.md").read_text())) == [path.name for path in PAGES]


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_a_page_has_its_three_sections(path: Path) -> None:
    """In this order, on one screen, with links that lead somewhere."""
    text = path.read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    assert len(text.splitlines()) <= 50
    assert [link for link in links(text) if not (FOLDER / link).is_file()] == []


@pytest.fixture(scope="module")
def paths() -> set[str]:
    """The routes of the service, as its own description has them."""
    return set(create_app(Settings(api_key="documents")).openapi()["paths"])


@pytest.mark.parametrize("path", [*PAGES, FOLDER / "README.md"], ids=_name)
def test_everything_that_a_page_names_exists(path: Path, paths: set[str]) -> None:
    """Commands with their options, routes, settings, metrics, codes."""
    text = path.read_text()
    sources = "\n".join(one.read_text() for one in (ROOT / "app").rglob("*.py"))
    for call in re.findall(r"python -m app ([^`]+)`", text.replace("\n   ", " ")):
        _check_command(call)
    for code in inline_code(text):
        if code.startswith(("GET /", "POST /", "DELETE /")):
            assert code.split()[1] in paths, code
        elif code.startswith("ticker_"):
            assert f'"{code}"' in sources, code
        elif SETTING.fullmatch(code):
            assert code.lower() in Settings.model_fields or f'"{code}"' in sources, code


def _check_command(call: str) -> None:
    command: Any = typer.main.get_command(build_cli())
    words = call.split()
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands"), call
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options, call
    required = {parameter.opts[0] for parameter in command.params if parameter.required and parameter.opts[0][0] == "-"}
    assert required <= set(words), call
