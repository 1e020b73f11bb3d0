"""The bounds of the WebSocket streams."""

from __future__ import annotations

from dataclasses import dataclass

from app.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """What one socket and one account may take. Durations are in seconds."""

    auth_timeout_s: float = 10.0  # until the first message, with the key
    heartbeat_s: float = 15.0  # between two heartbeats of the service
    idle_timeout_s: float = 60.0  # until the next message, or pong of the protocol, of the client
    write_timeout_s: float = 5.0  # for one frame to be taken by the client's side
    recheck_key_s: float = 30.0  # after which a message makes the service check the key again
    poll_s: float = 1.0  # between two reads of the heads of all logs
    connections_per_account: int = 100  # order sockets of one account, in one process
    queue_length: int = 1000  # messages that wait for one reader
    replay: int = 5000  # events that a resume may be behind; further back gets a snapshot
    messages_per_second: int = 10  # of one client
    tokens_per_socket: int = 3000  # instruments that one tick socket reads

    @classmethod
    def from_settings(cls, settings: Settings) -> StreamLimits:
        return cls(
            auth_timeout_s=settings.ws_auth_timeout_s,
            heartbeat_s=settings.ws_heartbeat_s,
            idle_timeout_s=settings.ws_idle_timeout_s,
            connections_per_account=settings.ws_connections_per_account,
            queue_length=settings.ws_queue_length,
        )
