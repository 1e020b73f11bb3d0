"""Logs: one line for each event, to stderr and to a rotated file, without secrets.

The command line sets them up once. A line carries the id of its request, and ends with the fields that it was bound to
(``account_id=primary``). Whatever looks like a credential is replaced before a sink sees it, in messages, fields and
tracebacks. Libraries that log URLs are limited to WARNING, because the broker's WebSocket URL carries the access token.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TextIO

from loguru import logger

from app.config import Settings
from app.errors import SettingsError

if TYPE_CHECKING:
    from loguru import Record

ROTATE_AT = "20 MB"
KEEP_FILES = 10
HIDDEN = "[hidden]"
_PLACED = ("request_id", "fields", "trace")  # extras that have a place of their own in the line
_QUIET = (
    *("httpx", "httpcore", "websockets", "asyncio", "psycopg", "psycopg.pool", "redis"),
    *("uvicorn.access", "uvicorn.error"),  # its lines have the query of a request
)

# name=value, name: value, "name": "value", in URLs, headers and representations alike
_NAMED = re.compile(
    r"""(?ix)
    ( \b(?: access_token | request_token | refresh_token | enctoken | api_secret | api_key | apikey | x-api-key
          | checksum | password | passwd | secret | token_key )
      ["']? \s* [=:] \s* (?: SecretStr\( )? ["']? )
    ( [^\s"'&,;)}\]]+ )"""
)
_AUTHORIZATION = re.compile(r"""(?i)(authorization["']?\s*[=:,]\s*b?["']?)([^"'\r\n]+)""")
_KITE_TOKEN = re.compile(r"(?i)\b((?:token|bearer)\s+)([A-Za-z0-9_.:+/=-]{8,})")
_SHAPED = re.compile(r"\b(?:whsec_[A-Za-z0-9+/=_-]+|kg_live_[A-Za-z0-9_]+)")
_URL_PASSWORD = re.compile(r"(?i)\b([a-z][a-z0-9+]*://[^\s:/@]*:)([^\s@/]+)@")


def redact(text: str) -> str:
    """``text`` with ``[hidden]`` in place of everything that is written like a credential."""
    text = _AUTHORIZATION.sub(rf"\1{HIDDEN}", text)
    text = _NAMED.sub(rf"\1{HIDDEN}", text)
    text = _KITE_TOKEN.sub(rf"\1{HIDDEN}", text)
    text = _URL_PASSWORD.sub(rf"\1{HIDDEN}@", text)
    return _SHAPED.sub(HIDDEN, text)


def configure_logging(
    settings: Settings, *, stream: TextIO = sys.stderr, sinks: Literal["stream", "stream and file"] = "stream and file"
) -> None:
    """Replace every sink of this process. Synchronous on purpose: a queue would lose the lines before a crash.

    The file belongs to the serving process; other commands log to the stream only. Raises SettingsError when
    ``LOG_DIR`` cannot be written to.
    """
    logger.remove()
    logger.configure(patcher=_patch)
    logger.add(stream, level=settings.log_level, format=_format, backtrace=False, diagnose=False)
    if sinks == "stream and file":
        _add_file(settings)
    _intercept_standard_logging()


def _add_file(settings: Settings) -> None:
    try:
        logger.add(
            settings.log_dir / "service.log",
            level=settings.log_level,
            format=_format,
            rotation=ROTATE_AT,
            retention=KEEP_FILES,
            encoding="utf-8",
            backtrace=False,
            diagnose=False,
        )
    except OSError as error:
        raise SettingsError("LOG_DIR", wants=f"a directory that can be written to: {error.strerror}") from error


def _patch(record: Record) -> None:
    """Redact the message, and format the exception here: loguru would format it after this function, unredacted."""
    record["message"] = redact(record["message"])
    record["extra"]["fields"] = redact(_fields(record["extra"]))
    exception = record["exception"]
    if exception is not None and exception.type is not None:
        lines = traceback.format_exception(exception.type, exception.value, exception.traceback)
        record["extra"]["trace"] = "\n" + redact("".join(lines)).rstrip()
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
