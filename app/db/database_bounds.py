"""How long and how often this process makes PostgreSQL work: one value from the settings, given to every pool."""

from __future__ import annotations

from dataclasses import dataclass

from app.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseBounds:
    """Seconds; the defaults are those of the settings.

    The server ends what takes longer than ``statement_s``, ``lock_s`` (waiting for a lock) and ``idle_s`` (a
    transaction in which nothing happens). ``connect_s``: making a connection to one address; ``wait_s``: a caller's
    wait for a connection of the pool; ``answer_s``: for an answer, longer than ``statement_s``, because a server that
    has stopped keeps no bound.
    """

    connect_s: int = 3
    wait_s: float = 1.5
    statement_s: float = 2.5
    lock_s: float = 2.0
    idle_s: float = 10.0
    answer_s: float = 3.0

    @classmethod
    def from_settings(cls, settings: Settings) -> DatabaseBounds:
        """Those that the operator chose."""
        return cls(
            connect_s=settings.database_connect_timeout_s,
            wait_s=settings.database_pool_wait_s,
            statement_s=settings.database_statement_timeout_s,
            lock_s=settings.database_lock_timeout_s,
            idle_s=settings.database_idle_timeout_s,
            answer_s=settings.database_answer_timeout_s,
        )

    def session(self) -> dict[str, str]:
        """What the server bounds, as settings of a session."""
        return {
            "statement_timeout": _milliseconds(self.statement_s),
            "lock_timeout": _milliseconds(self.lock_s),
            "idle_in_transaction_session_timeout": _milliseconds(self.idle_s),
        }


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
