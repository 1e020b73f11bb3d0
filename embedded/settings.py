"""The settings of `make run`: environment variables, checked before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 8080
DEFAULT_SIM_PORT = 9100
DEFAULT_DATA_DIR = Path(".data")
MAX_PORT = 65_535


class BadSetting(Exception):
    """The environment variable `name` has a bad value; `wants` says what it must be. Exit code 2."""

    def __init__(self, name: str, *, wants: str) -> None:
        super().__init__(name, wants)
        self.name = name
        self.wants = wants

    def __str__(self) -> str:
        return f"{self.name} {self.wants}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The checked settings."""

    port: int = DEFAULT_PORT
    """Of the service."""
    sim_port: int = DEFAULT_SIM_PORT
    """Of the simulator."""
    data_dir: Path = DEFAULT_DATA_DIR
    api_key: str | None = None
    """None: one is created."""
    database_url: str | None = None
    """A server to use; None: one is started. The same for `redis_url`."""
    redis_url: str | None = None


def read_settings(environ: Mapping[str, str]) -> RunSettings:
    """The settings of an environment; an empty variable counts as not set. Raises BadSetting."""
    settings = RunSettings(
        port=_read_port(environ, "PORT", default=DEFAULT_PORT),
        sim_port=_read_port(environ, "SIM_PORT", default=DEFAULT_SIM_PORT),
        data_dir=Path(environ.get("DATA_DIR") or DEFAULT_DATA_DIR),
        api_key=_read_api_key(environ),
        database_url=_read_url(environ, "DATABASE_URL", schemes=("postgresql://", "postgres://")),
        redis_url=_read_url(environ, "REDIS_URL", schemes=("redis://", "rediss://")),
    )
    if settings.port == settings.sim_port:
        raise BadSetting("SIM_PORT", wants=f"must differ from PORT; both are {settings.port}")
    return settings


def _read_port(environ: Mapping[str, str], name: str, *, default: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_PORT):
        raise BadSetting(name, wants=f"must be a port from 1 to {MAX_PORT}, not {text!r}")
    return int(text)


def _read_api_key(environ: Mapping[str, str]) -> str | None:
    key = environ.get("API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise BadSetting("API_KEY", wants="must be printable ASCII without spaces: it travels in a header")
    return key or None


def _read_url(environ: Mapping[str, str], name: str, *, schemes: tuple[str, ...]) -> str | None:
    url = environ.get(name, "").strip()
    if url and not url.startswith(schemes):
        raise BadSetting(name, wants=f"must begin with {' or '.join(schemes)}")
    return url or None
