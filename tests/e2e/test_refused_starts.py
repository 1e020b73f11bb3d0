"""A refused start prints one line with the reason, and ends with an exit code that a platform understands."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.environment import ROOT, Broker, clean_environment

START_S = 30.0
KEY = "x7Kq2mPz9vRt4wLs"
COMPLETE = {"PORT": "0", "API_KEY": KEY, "KITE_API_KEY": "simkey", "KITE_API_SECRET": "simsecret"}


def start(directory: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """`python -m app serve` in an empty directory, to the end that comes by itself."""
    env = clean_environment() | {"PYTHONPATH": str(ROOT), "LOG_DIR": str(directory / "logs"), **settings}
    return subprocess.run(
        [sys.executable, "-m", "app", "serve"],
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def check_refused(done: "subprocess.CompletedProcess[str]", code: int, *parts: str) -> None:
    """One line on stderr with these parts, no traceback, this exit code."""
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"PORT": "http"}, ("PORT: ", "integer")),
        ({"LOG_LEVEL": "loud"}, ("LOG_LEVEL: ", "'INFO'")),
        ({"REDIS_URL": "localhost:6379"}, ("REDIS_URL: ", "redis://")),
        ({"KITE_WS_URL": "https://ws.kite.trade"}, ("KITE_WS_URL: ", "wss://")),
        ({"LIMIT_BATCH_ORDERS": "often"}, ("LIMIT_BATCH_ORDERS: ", "10/minute")),
        ({"IN_DOUBT_WINDOW_S": "0"}, ("IN_DOUBT_WINDOW_S: ", "greater than or equal to 1")),
        ({"API_KEY_FILE": "/nowhere/key"}, ("API_KEY_FILE: ", "/nowhere/key")),
        ({"ENVIRONMENT": "production"}, ("API_KEY: ", "production")),
        ({"ENVIRONMENT": "production", "API_KEY": KEY}, ("password",)),
        ({"ENVIRONMENT": "production", "API_KEY": "a" * 32}, ("API_KEY: ", "different characters")),
        ({"ENVIRONMENT": "production", "API_KEY": "change-me-to-a-key-of-your-own"}, ("API_KEY: ", "placeholder")),
        ({"ENVIRONMENT": "staging", "API_KEY_ENABLED": "false"}, ("API_KEY_ENABLED: ", "development")),
        ({"HOST": "0.0.0.0", "API_KEY_ENABLED": "false"}, ("API_KEY_ENABLED: ", "loopback")),  # noqa: S104 - refused
        ({}, ("API_KEY: ",)),
        ({"API_KEY": KEY}, ("KITE_API_KEY: ", "ACCOUNTS_FILE")),
    ],
)
def test_a_bad_setting_is_one_line_and_exit_code_two(
    tmp_path: Path, settings: dict[str, str], parts: tuple[str, ...]
) -> None:
    """The line names the variable and what it wants; a secret is never repeated."""
    done = start(tmp_path, **settings)
    check_refused(done, 2, *parts)
    assert KEY not in done.stderr


def test_a_taken_port(tmp_path: Path) -> None:
    """Before anything else is opened."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = start(tmp_path, **COMPLETE | {"PORT": port})
    check_refused(done, 1, "PORT: ", f"127.0.0.1:{port}", "in use")


def test_a_database_out_of_reach(tmp_path: Path) -> None:
    """Named without its password."""
    done = start(tmp_path, **COMPLETE, DATABASE_URL="postgresql://me:hidden@127.0.0.1:1/none")
    check_refused(done, 1, "DATABASE_URL: ", "refused")
    assert "hidden" not in done.stderr + done.stdout


def test_a_wrong_password(tmp_path: Path, empty_database_url: str) -> None:
    """The server's own message, in one line."""
    scheme, _, rest = empty_database_url.partition("://")
    user, _, where = rest.partition(":")
    url = f"{scheme}://{user}:hidden@{where.partition('@')[2]}"
    done = start(tmp_path, **COMPLETE, DATABASE_URL=url)
    check_refused(done, 1, "DATABASE_URL: ", "password authentication failed")
    assert "hidden" not in done.stderr + done.stdout


def test_a_schema_of_another_version(tmp_path: Path, empty_database_url: str) -> None:
    """The line has the command that mends it."""
    done = start(tmp_path, **COMPLETE, DATABASE_URL=empty_database_url)
    check_refused(done, 1, "schema", "python -m app migrate")


def test_the_product_on_a_taken_port(tmp_path: Path, shared_broker: Broker) -> None:
    """`make run` says the same about itself; nothing was started."""
    env = clean_environment() | {"DATA_DIR": str(tmp_path / "data"), "PORT": str(shared_broker.port)}
    done = subprocess.run(
        [sys.executable, "-m", "embedded"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    check_refused(done, 1, f"port {shared_broker.port}", "PORT")
    assert not (tmp_path / "data" / "postgres").exists()
