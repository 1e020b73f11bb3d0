"""Child processes that never outlive their parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.errors import StartFailed
from embedded.process import Program, run_to_end, start_program, stop_orphan, wait_until_healthy
from tests.integration.embedded.processes import is_running, read_int, repository_root, wait_until

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)
PARENT = """
import os, signal, sys, time
from pathlib import Path
from embedded.process import Program, start_program
child = start_program(Program(name="child", command=["/bin/sleep", "60"], log=Path(sys.argv[1]) / "log", env={}))
(Path(sys.argv[1]) / "pid").write_text(str(child.pid))
time.sleep(60)
"""


def make_program(directory: Path, *command: str) -> Program:
    return Program(name="child", command=command, log=directory / "log", env=dict(os.environ))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux signals children")
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """SIGKILL gives the parent no chance to stop anything."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], cwd=repository_root())  # noqa: S603
    assert wait_until(lambda: read_int(tmp_path / "pid") is not None)
    child = read_int(tmp_path / "pid")
    assert child is not None
    assert is_running(child)
    parent.kill()
    parent.wait(5)
    assert wait_until(lambda: not is_running(child))


def test_a_child_that_ignores_the_stop_signal_is_killed(tmp_path: Path) -> None:
    """The wait is bounded."""
    child = start_program(make_program(tmp_path, sys.executable, "-c", STUBBORN))
    assert wait_until(lambda: "ready" in (tmp_path / "log").read_text())
    child.stop(timeout=0.2)  # by itself it would go on for a minute and end with 0
    assert child.exit_code() == -signal.SIGKILL


def test_the_terminals_interrupt_does_not_reach_a_child(tmp_path: Path) -> None:
    """Ctrl-C signals the terminal's process group; a child has a session of its own."""
    child = start_program(make_program(tmp_path, "/bin/sleep", "60"))
    try:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
    finally:
        child.stop(timeout=2)


def test_the_error_of_a_program_that_ends_early_has_its_last_log_lines(tmp_path: Path) -> None:
    """The reason and the end of the log are in the error."""
    child = start_program(make_program(tmp_path, "/bin/sh", "-c", "echo no such luck; exit 3"))
    with pytest.raises(StartFailed, match="child did not start: exited with code 3") as failure:
        wait_until_healthy(child, lambda: "not yet", timeout=5)
    assert failure.value.log_tail == "no such luck"


def test_waiting_for_health_is_bounded(tmp_path: Path) -> None:
    """The error names the remaining problem."""
    child = start_program(make_program(tmp_path, "/bin/sleep", "60"))
    try:
        with pytest.raises(StartFailed, match=r"not healthy after 0 s \(still cold\)"):
            wait_until_healthy(child, lambda: "still cold", timeout=0.05)
    finally:
        child.stop(timeout=2)


@pytest.mark.parametrize(
    ("script", "reason"),
    [("exit 4", "exited with code 4"), ("kill -9 $$", "was ended by SIGKILL"), ("exec sleep 60", "took over 0 s")],
)
def test_a_step_that_fails_or_hangs_is_an_error(tmp_path: Path, script: str, reason: str) -> None:
    """The start does not continue after a failed step."""
    with pytest.raises(StartFailed, match=reason):
        run_to_end(make_program(tmp_path, "/bin/sh", "-c", script), timeout=0.3)


def test_only_the_process_that_is_recognised_is_stopped(tmp_path: Path) -> None:
    """Another process may have the same id."""
    child = start_program(make_program(tmp_path, "/bin/sleep", "60"))
    wait_until(lambda: "sleep" in Path(f"/proc/{child.pid}/cmdline").read_text().split("\0")[0])
    assert not stop_orphan(child.pid, recognise="postgres -D", stop_signal=signal.SIGTERM, timeout=1)
    assert child.exit_code() is None
    assert stop_orphan(child.pid, recognise="sleep 60", stop_signal=signal.SIGTERM, timeout=1)
    assert child.wait(2) == -signal.SIGTERM
