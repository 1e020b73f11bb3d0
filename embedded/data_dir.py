"""The data directory: used by one process at a time, with a fixed place for everything.

lock             locked (flock) by the process that runs the product, with its process id in it
postgres/        the database cluster, its log and its password
redis/           the append-only file, its log, configuration and password
simulator/       the simulator's journal: orders, ledger, positions
logs/            of the service and the simulator
run.json         addresses and key of what is running
api-key          the development key, created once
order-tags/      the secret of the orders' tags, created once, and which database there was last: outside of the
                 database, which may be lost
"""

import base64
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import DataDirectoryInUse, EmbeddedError


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths inside a data directory; `root` is absolute."""

    root: Path

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def simulator(self) -> Path:
        return self.root / "simulator"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run_file(self) -> Path:
        return self.root / "run.json"

    @property
    def api_key(self) -> Path:
        return self.root / "api-key"

    @property
    def tag_secret(self) -> Path:
        return self.root / "order-tags" / "secret"

    @property
    def database_record(self) -> Path:
        return self.root / "order-tags" / "database.json"


@contextmanager
def lock_data_dir(path: Path) -> Iterator[DataDir]:
    """Creates the directory if needed and locks it until the block ends. The kernel unlocks it when the process dies.

    Raises DataDirectoryInUse when another process has locked it, EmbeddedError when it cannot be created.
    """
    root = path.resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / "logs").mkdir(exist_ok=True)
        descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise EmbeddedError(f"the data directory {root} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirectoryInUse(root, holder=_read_holder(descriptor)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield DataDir(root)
    finally:
        os.close(descriptor)


def read_or_create_secret(path: Path) -> str:
    """The secret in `path` (mode 0600), created on first use: 32 URL-safe characters."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24) + "\n")
    return path.read_text().strip()


def read_or_create_key(path: Path) -> str:
    """The 32 random bytes in `path` (mode 0600), in base64, created on first use."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(path, base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Writes a file of mode 0600, as a whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def _read_holder(descriptor: int) -> int | None:
    written = os.pread(descriptor, 32, 0).strip()
    return int(written) if written.isdigit() else None
