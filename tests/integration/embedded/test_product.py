"""`make run`: start, banner, refusals, stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from embedded.ports import find_free_port
from tests.integration.embedded.processes import is_running, read_int, repository_root, wait_until

START_S = 20.0
STOP_S = 10.0


@dataclass
class Launcher:
    """Starts `make run` on one data directory, and knows everything that it started."""

    directory: Path
    port: int
    sim_port: int
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def start(self, **env: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.embedded.run_with_standins"],
            cwd=repository_root(),
            env=os.environ | self.settings() | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, **env: str) -> "subprocess.CompletedProcess[str]":
        """Starts it, and waits until it ends by itself."""
        process = self.start(**env)
        out, err = process.communicate(timeout=START_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def settings(self) -> dict[str, str]:
        ports = {"PORT": str(self.port), "SIM_PORT": str(self.sim_port)}
        return ports | {"DATA_DIR": str(self.directory), "API_KEY": "", "DATABASE_URL": "", "REDIS_URL": ""}

    def wait_for_banner(self, process: "subprocess.Popen[str]") -> str:
        """The output up to the last printed command."""
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.lstrip().startswith("-d '{"):
                return "".join(lines)
        assert process.stderr is not None
        raise AssertionError("".join(lines) + process.stderr.read())

    def read_run_file(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.directory / "run.json").read_text())
        return content

    def list_processes(self) -> list[int]:
        """The process ids of the servers and the service."""
        pids = [
            int((self.directory / "postgres/cluster/postmaster.pid").read_text().split()[0]),
            read_int(self.directory / "redis/server.pid"),
            self.read_run_file()["pid"],
        ]
        return [pid for pid in pids if pid is not None]

    def write_script(self, text: str) -> None:
        (self.directory / "logs").mkdir(parents=True, exist_ok=True)
        (self.directory / "logs" / "script").write_text(text)


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    """What a failing test left running is killed at the end, and its children with it."""
    launcher = Launcher(tmp_path / "data", find_free_port(), find_free_port())
    yield launcher
    for process in launcher.started:
        process.kill()
        process.communicate(timeout=STOP_S)


def end(process: "subprocess.Popen[str]", number: signal.Signals) -> "tuple[str, str]":
    """Signals the process and returns its remaining output."""
    process.send_signal(number)
    return process.communicate(timeout=STOP_S + 2)


def test_ctrl_c_stops_in_order_and_leaves_nothing_and_the_next_start_has_the_data(launcher: Launcher) -> None:
    """The service stops before simulator and servers; exit code 0; committed data is there at the next start."""
    process = launcher.start()
    launcher.wait_for_banner(process)
    pids = launcher.list_processes()
    with psycopg.connect(launcher.read_run_file()["database_url"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    begun = time.monotonic()
    out, err = end(process, signal.SIGINT)
    assert (process.returncode, err) == (0, "")
    assert time.monotonic() - begun < STOP_S
    assert out.splitlines()[-2:] == ["stopping everything ...", "stopped"]
    assert (launcher.directory / "logs/ends").read_text().split() == ["service", "simulator"]
    assert not any(map(is_running, pids))
    assert not (launcher.directory / "run.json").exists()

    again = launcher.start()
    launcher.wait_for_banner(again)
    with psycopg.connect(launcher.read_run_file()["database_url"]) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (42,)
    end(again, signal.SIGTERM)
    assert again.returncode == 0


def test_a_running_product_says_how_to_reach_it_and_refuses_a_second_start(launcher: Launcher) -> None:
    """`run.json` is private and agrees with the banner; the refusal is one line that names directory and process."""
    process = launcher.start(API_KEY="my-own-key")
    banner = launcher.wait_for_banner(process)
    run_file = launcher.directory / "run.json"
    run = launcher.read_run_file()
    assert run_file.stat().st_mode & 0o777 == 0o600
    assert set(run) == {"url", "api_key", "redis_url", "database_url", "simulator_url", "pid"}
    assert (run["url"], run["api_key"]) == (f"http://127.0.0.1:{launcher.port}", "my-own-key")
    assert is_running(run["pid"])
    for expected in (run["url"] + "/docs", "X-API-Key: my-own-key", "SUBSCRIBE ticker:ticks:408065", '"price": 1508'):
        assert expected in banner

    second = launcher.run(PORT=str(find_free_port()), SIM_PORT=str(find_free_port()))
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert f"{launcher.directory} is in use by process {process.pid}" in second.stderr
    assert process.poll() is None
    assert run_file.exists()
    end(process, signal.SIGTERM)


def test_a_taken_port_is_one_line_and_nothing_is_started(launcher: Launcher) -> None:
    """The line names the port and its variable."""
    with socket.create_server(("127.0.0.1", launcher.sim_port)):
        done = launcher.run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"ticker-service: port {launcher.sim_port} is taken by another program")
    assert "SIM_PORT" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (launcher.directory / "postgres").exists()


def test_a_bad_setting_is_one_line_and_exit_code_two(launcher: Launcher) -> None:
    """The line names the variable and what is expected."""
    done = launcher.run(PORT="http")
    assert (done.returncode, done.stderr) == (2, "ticker-service: PORT must be a port from 1 to 65535, not 'http'\n")


def test_a_given_database_out_of_reach_is_one_line(launcher: Launcher) -> None:
    """No embedded PostgreSQL is started instead."""
    done = launcher.run(DATABASE_URL="postgresql://ticker@127.0.0.1:1/none")
    assert done.returncode == 1
    assert done.stderr.startswith("ticker-service: the database of DATABASE_URL cannot be reached")
    assert done.stderr.count("\n") == 1
    assert not (launcher.directory / "postgres").exists()


def test_given_servers_are_used_instead(launcher: Launcher, empty_database_url: str, redis_url: str) -> None:
    """With both addresses nothing embedded is started."""
    process = launcher.start(DATABASE_URL=empty_database_url, REDIS_URL=redis_url)
    launcher.wait_for_banner(process)
    run = launcher.read_run_file()
    assert (run["database_url"], run["redis_url"]) == (empty_database_url, redis_url)
    assert not (launcher.directory / "postgres").exists()
    assert not (launcher.directory / "redis").exists()
    end(process, signal.SIGTERM)


def test_a_failing_migration_stops_the_start_with_its_log(launcher: Launcher) -> None:
    """The servers that were started are stopped."""
    launcher.write_script("migrate-fails")
    done = launcher.run()
    assert done.returncode == 1
    assert "migrations did not start: exited with code 1" in done.stderr
    assert "relation cannot be made" in done.stderr
    assert not (launcher.directory / "postgres/cluster/postmaster.pid").exists()


def test_a_program_that_ends_stops_the_others_and_is_named(launcher: Launcher) -> None:
    """Exit code 1, for a supervisor that restarts it."""
    launcher.write_script("service-ends")
    done = launcher.run()
    assert done.returncode == 1
    assert "service exited with code 7, so everything was stopped" in done.stderr
    assert (launcher.directory / "logs/ends").read_text().split() == ["simulator"]
    assert not (launcher.directory / "postgres/cluster/postmaster.pid").exists()


def test_a_service_that_does_not_stop_is_killed_within_the_limit(launcher: Launcher) -> None:
    """The service has six seconds; the whole stop takes less than ten."""
    launcher.write_script("service-hangs")
    process = launcher.start()
    launcher.wait_for_banner(process)
    pids = launcher.list_processes()
    begun = time.monotonic()
    end(process, signal.SIGINT)
    assert time.monotonic() - begun < STOP_S
    assert not any(map(is_running, pids))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux signals children")
def test_a_killed_launcher_leaves_nothing_running_and_blocks_nothing(launcher: Launcher) -> None:
    """After SIGKILL the kernel signals the children, and the next start works."""
    process = launcher.start()
    launcher.wait_for_banner(process)
    pids = launcher.list_processes()
    end(process, signal.SIGKILL)
    assert wait_until(lambda: not any(map(is_running, pids)))
    again = launcher.start()
    launcher.wait_for_banner(again)
    end(again, signal.SIGTERM)
