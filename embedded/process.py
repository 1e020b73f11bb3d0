"""Child processes that never outlive their parent: start, health, stop, and stopping what a killed parent left.

Each child has a session of its own: the terminal's Ctrl-C reaches only the parent, which stops its children in order.
On Linux the kernel signals a child when its parent dies (launch.py). A stop is a signal, a bounded wait, then SIGKILL.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import StartFailed

LAUNCH = Path(__file__).with_name("launch.py")
KILL_WAIT_S = 2.0  # after SIGKILL the kernel needs only moments
POLL_S = 0.01
LOG_TAIL_BYTES = 4_000
LOG_TAIL_LINES = 20


@dataclass(frozen=True, slots=True)
class User:
    """The system account of a child process."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run, and how to stop it."""

    name: str
    """For error messages."""
    command: Sequence[str]
    log: Path
    """To which its output is appended."""
    env: Mapping[str, str]
    """Its whole environment."""
    cwd: Path | None = None
    user: User | None = None
    """None: the same user."""
    stop_signal: signal.Signals = signal.SIGTERM
    """For an orderly stop; the kernel also sends it when the parent dies."""


class Child:
    """A running program."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        self.program = program
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> int | None:
        """Waits up to `timeout` seconds for its end; returns the exit code, or None."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, *, timeout: float) -> None:
        """Sends the stop signal, waits up to `timeout` seconds, then kills it. Does nothing when it has ended."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(self.program.stop_signal)
        if self.wait(timeout) is None:
            self._process.kill()
            self._process.wait(KILL_WAIT_S)


def start_program(program: Program) -> Child:
    """Starts it, with its output appended to its log (mode 0600)."""
    user = (str(program.user.uid), str(program.user.gid)) if program.user else ("-", "-")
    # -I -S: the launcher needs neither the environment's nor the virtual environment's additions, and starts in half
    # the time without them.
    launcher = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(int(program.stop_signal)), *user]
    descriptor = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own fixed argument lists
            [*launcher, *program.command],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(program.env),
            cwd=program.cwd,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    return Child(program, process)


def run_to_end(program: Program, *, timeout: float) -> None:
    """Runs a program that ends by itself. Raises StartFailed after `timeout` seconds, or for a bad exit code."""
    program.log.unlink(missing_ok=True)
    child = start_program(program)
    try:
        code = child.wait(timeout)
    finally:
        child.stop(timeout=0)
    if code != 0:
        reason = f"took over {timeout:.0f} s" if code is None else describe_exit(code)
        raise StartFailed(program.name, reason, log_tail=read_tail(program.log))


def wait_until_healthy(child: Child, probe: Callable[[], str | None], *, timeout: float, every: float = POLL_S) -> None:
    """Calls `probe` every `every` seconds until it returns None instead of a problem.

    Raises StartFailed with the end of the log when the program ends before, or after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    name, log = child.program.name, child.program.log
    while True:
        code = child.exit_code()
        if code is not None:
            raise StartFailed(name, describe_exit(code), log_tail=read_tail(log))
        problem = probe()
        if problem is None:
            return
        if time.monotonic() >= deadline:
            raise StartFailed(name, f"not healthy after {timeout:.0f} s ({problem})", log_tail=read_tail(log))
        time.sleep(every)


def describe_exit(code: int) -> str:
    """`exited with code 2`, or `was ended by SIGKILL`."""
    return f"exited with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def read_tail(log: Path) -> str:
    """The last lines of a log; empty when there is none."""
    try:
        text = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])


def command_line(pid: int) -> str | None:
    """The arguments of a running process; None when there is none, or a zombie."""
    proc = Path("/proc")
    if (proc / "self").exists():
        try:
            return (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(
                errors="replace"
            ).strip() or None
        except OSError:
            return None
    listing = subprocess.run(  # noqa: S603 - a process id is all that varies
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=5
    )
    return listing.stdout.strip() or None


def stop_orphan(pid: int, *, recognise: str, stop_signal: signal.Signals, timeout: float) -> bool:
    """Stops process `pid`, left by a killed parent, if its command line contains `recognise`. True if there was one.

    So an unrelated process with the same id is not stopped.
    """

    def is_alive() -> bool:
        return recognise in (command_line(pid) or "")

    if not is_alive():
        return False
    for number, wait_s in ((stop_signal, timeout), (signal.SIGKILL, KILL_WAIT_S)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            if not is_alive():
                return True
            time.sleep(POLL_S)
    return True
