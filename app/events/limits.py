"""The bounds of the WebSocket streams, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from app.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """What one socket and one account may take. Durations are seconds."""

    auth_timeout_s: float = 10.0
    heartbeat_s: float = 15.0
    idle_timeout_s: float = 60.0
    write_timeout_s: float = 5.0
    recheck_key_s: float = 30.0
    poll_s: float = 1.0
    connections_per_account: int = 100
    unauthenticated: int = 200  # sockets that have not said who they are, on one stream of one process
    queue_length: int = 1000  # messages that wait for one reader
    replay: int = 5000  # events that a resume may be behind; further back gets a snapshot
    messages_per_second: int = 10
    tokens_per_socket: int = 3000

    @classmethod
    def from_settings(cls, settings: Settings) -> StreamLimits:
        return cls(
            auth_timeout_s=settings.ws_auth_timeout_s,
            heartbeat_s=settings.ws_heartbeat_s,
            idle_timeout_s=settings.ws_idle_timeout_s,
            connections_per_account=settings.ws_connections_per_account,
            queue_length=settings.ws_queue_length,
        )
