"""Logs: one line for each event, to stderr and to a rotated file, without secrets.

The command line sets them up once. A line carries the id of its request, and ends with the fields that it was bound to
(``account_id=primary``). ``app.ops.redaction`` hides secrets and escapes control characters before a sink sees them, in
messages, fields and tracebacks. Libraries that log URLs are limited to WARNING, because the broker's WebSocket URL
carries the access token.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal, TextIO

from loguru import logger

from app.config import Settings
from app.errors import SettingsError
from app.ops.redaction import escape, redact, secrets_of

if TYPE_CHECKING:
    from loguru import Record

ROTATE_AT = "20 MB"
KEEP_FILES = 10
_IN_TRACE = "  | "  # begins each line of a trace, whose message may be written like a line of the log
FILE_MODE = 0o640
DIRECTORY_MODE = 0o750
_PLACED = ("request_id", "fields", "trace")  # extras that have a place of their own in the line
_QUIET = (
    *("httpx", "httpcore", "websockets", "asyncio", "psycopg", "psycopg.pool", "redis"),
    *("uvicorn.access", "uvicorn.error"),  # its lines have the query of a request
)


def configure_logging(
    settings: Settings, *, stream: TextIO = sys.stderr, sinks: Literal["stream", "stream and file"] = "stream and file"
) -> None:
    """Replace every sink of this process. Synchronous on purpose: a queue would lose the lines before a crash.

    The file belongs to the serving process; other commands log to the stream only. Raises SettingsError when
    ``LOG_DIR`` cannot be written to.
    """
    logger.remove()
    hidden = secrets_of(settings)
    hide_in_logs(lambda: hidden)
    logger.add(stream, level=settings.log_level, format=_format, backtrace=False, diagnose=False)
    if sinks == "stream and file":
        _add_file(settings)
    _intercept_standard_logging()


def hide_in_logs(secrets: Callable[[], Iterable[str]]) -> None:
    """From now on ``secrets`` are hidden wherever they stand in a line; it is called for each line."""
    logger.configure(patcher=partial(_patch, secrets=secrets))


def _open(path: str, flags: int) -> int:
    """A log file that only its owner and its group can read, also one that an earlier version has made."""
    descriptor = os.open(path, flags, FILE_MODE)
    if os.fstat(descriptor).st_uid == os.geteuid():
        os.fchmod(descriptor, FILE_MODE)
    return descriptor


def _add_file(settings: Settings) -> None:
    try:
        settings.log_dir.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        logger.add(
            settings.log_dir / "service.log",
            level=settings.log_level,
            format=_format,
            rotation=ROTATE_AT,
            retention=KEEP_FILES,
            encoding="utf-8",
            opener=_open,
            backtrace=False,
            diagnose=False,
        )
    except OSError as error:
        raise SettingsError("LOG_DIR", wants=f"a directory that can be written to: {error.strerror}") from error


def _patch(record: Record, *, secrets: Callable[[], Iterable[str]]) -> None:
    """Clean the message, and format the exception here: loguru would format it after this function, with secrets."""
    hidden = tuple(secrets())
    record["message"] = escape(redact(record["message"], secrets=hidden))
    record["extra"]["fields"] = escape(redact(_fields(record["extra"]), secrets=hidden))
    exception = record["exception"]
    if exception is not None and exception.type is not None:
        lines = traceback.format_exception(exception.type, exception.value, exception.traceback)
        text = redact("".join(lines), secrets=hidden).rstrip()
        record["extra"]["trace"] = "".join(f"\n{_IN_TRACE}{escape(line)}" for line in text.split("\n"))
        record["exception"] = None


def _fields(extra: Mapping[str, object]) -> str:
    """`` account_id=primary reason='no frame for 5 s'``: what a line was bound to; text with a space is quoted."""
    bound = ((name, str(value)) for name, value in extra.items() if name not in _PLACED)
    return "".join(f" {name}={repr(text) if ' ' in text else text}" for name, text in bound)


def _format(record: Record) -> str:
    request = " [{extra[request_id]}]" if "request_id" in record["extra"] else ""
    trace = "{extra[trace]}" if "trace" in record["extra"] else ""
    line = "{time:YYYY-MM-DDTHH:mm:ss.SSSZZ} {level: <7} {name}" + request + " {message}{extra[fields]}"
    return line + trace + "\n"


class _ToLoguru(logging.Handler):
    """Sends the lines of libraries to the same sinks, under the library's own name."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno

        def name(line: Record) -> None:
            line["name"] = record.name

        logger.patch(name).opt(exception=record.exc_info).log(level, "{}", record.getMessage())


def _intercept_standard_logging() -> None:
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.INFO, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True
