"""What can fail while the embedded product starts or runs. The text of each error says what to do.

EmbeddedError
 +-- DataDirectoryInUse   another process uses the data directory
 +-- PortTaken            another program listens on a port of the product
 +-- StartFailed          a program did not become healthy; has the end of its log
 +-- ChildEnded           a program of the running product ended by itself; has the end of its log
"""

from pathlib import Path


class EmbeddedError(Exception):
    """Base of the errors that `python -m embedded` prints before it exits with 1."""


class DataDirectoryInUse(EmbeddedError):
    """`path` is locked by the process with the id `holder`; None when that is unknown."""

    def __init__(self, path: Path, *, holder: int | None) -> None:
        super().__init__(path, holder)
        self.path = path
        self.holder = holder

    def __str__(self) -> str:
        by = f"process {self.holder}" if self.holder is not None else "another process"
        return f"the data directory {self.path} is in use by {by}; stop it, or set DATA_DIR to another directory"


class PortTaken(EmbeddedError):
    """`port` on 127.0.0.1 has a listener; `setting` is the variable with which another port is chosen."""

    def __init__(self, port: int, *, setting: str) -> None:
        super().__init__(port, setting)
        self.port = port
        self.setting = setting

    def __str__(self) -> str:
        return f"port {self.port} is taken by another program; stop it, or set {self.setting} to a free port"


class StartFailed(EmbeddedError):
    """`name` did not start because of `reason`; `log_tail` is the end of its log, and may be empty."""

    def __init__(self, name: str, reason: str, *, log_tail: str = "") -> None:
        super().__init__(name, reason, log_tail)
        self.name = name
        self.reason = reason
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"{self.name} did not start: {self.reason}{_quote_log(self.log_tail)}"


class ChildEnded(EmbeddedError):
    """`name` ended while the product ran; `how` says with which exit code or signal."""

    def __init__(self, name: str, how: str, *, log_tail: str = "") -> None:
        super().__init__(name, how, log_tail)
        self.name = name
        self.how = how
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"{self.name} {self.how}, so everything was stopped{_quote_log(self.log_tail)}"


def _quote_log(tail: str) -> str:
    return f"\n--- the end of its log ---\n{tail}" if tail else ""
