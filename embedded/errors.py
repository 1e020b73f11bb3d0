"""What can go wrong while starting or running the embedded product: each error is one line that a newcomer can act on.

EmbeddedError
 +-- DataDirectoryInUse   another start holds the data directory
 +-- PortTaken            something else listens where we would
 +-- StartFailed          a server did not become healthy; carries the end of its log
 +-- ChildEnded           a part of the running product ended by itself; carries the end of its log
"""

from pathlib import Path


class EmbeddedError(Exception):
    """Base of everything `python -m embedded` reports in one line before it exits with 1."""


class DataDirectoryInUse(EmbeddedError):
    """`path` is locked by the process `holder` (None when the holder left no id)."""

    def __init__(self, path: Path, *, holder: int | None) -> None:
        super().__init__(path, holder)
        self.path = path
        self.holder = holder

    def __str__(self) -> str:
        by = f"process {self.holder}" if self.holder is not None else "another process"
        return f"the data directory {self.path} is in use by {by}; stop it, or set DATA_DIR to another directory"


class PortTaken(EmbeddedError):
    """`port` on 127.0.0.1 already has a listener; `setting` is the variable that moves us elsewhere."""

    def __init__(self, port: int, *, setting: str) -> None:
        super().__init__(port, setting)
        self.port = port
        self.setting = setting

    def __str__(self) -> str:
        return f"port {self.port} is taken by another program; stop it, or set {self.setting} to a free port"


class StartFailed(EmbeddedError):
    """`name` did not start for `reason`; `log_tail` is the end of what it said, and may be empty."""

    def __init__(self, name: str, reason: str, *, log_tail: str = "") -> None:
        super().__init__(name, reason, log_tail)
        self.name = name
        self.reason = reason
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"{self.name} did not start: {self.reason}{_quote_log(self.log_tail)}"


class ChildEnded(EmbeddedError):
    """`name` ended while the product ran; `how` says by which code or signal."""

    def __init__(self, name: str, how: str, *, log_tail: str = "") -> None:
        super().__init__(name, how, log_tail)
        self.name = name
        self.how = how
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"{self.name} {self.how}, so everything was stopped{_quote_log(self.log_tail)}"


def _quote_log(tail: str) -> str:
    return f"\n--- the end of its log ---\n{tail}" if tail else ""
