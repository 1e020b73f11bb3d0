"""Access tokens that another program writes to ``TOKEN_DIR/{account_id}``, for instance a daily login job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loguru import logger
from pydantic import SecretStr

MAX_FILE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class FileToken:
    """``written_at`` is the file's modification time."""

    access_token: SecretStr
    written_at: datetime


class TokenFiles:
    """Checks the file at every call (a ``stat``, microseconds) and reads it again when it has changed."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._known: dict[str, tuple[tuple[int, int], FileToken | None]] = {}

    def read(self, account_id: str) -> FileToken | None:
        """The account's token; None: no directory, no file, an empty or an unreadable one (logged once per change)."""
        if self._directory is None:
            return None
        path = self._directory / account_id
        try:
            stat = path.stat()
        except OSError:
            return None
        version = (stat.st_mtime_ns, stat.st_size)
        known = self._known.get(account_id)
        if known is not None and known[0] == version:
            return known[1]
        token = _read(path, mtime=stat.st_mtime)
        self._known[account_id] = (version, token)
        return token


def _read(path: Path, *, mtime: float) -> FileToken | None:
    try:
        written_at = datetime.fromtimestamp(mtime, UTC)
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_FILE_BYTES).strip()
    except (OSError, ValueError, OverflowError) as error:  # no text, or no time of the calendar
        logger.error("the token file {} cannot be read: {}", path, error)
        return None
    return FileToken(access_token=SecretStr(text), written_at=written_at) if text else None
