"""Faults of the ticker WebSocket as the sockets see them. The fault registry implements `SocketFaults`."""

from dataclasses import dataclass
from typing import Literal, Protocol

SocketFaultKind = Literal["ws_silent", "ws_close", "ws_refuse", "ws_garbage"]


@dataclass(frozen=True, slots=True)
class SocketFault:
    """One fault to carry out now, once.

    ws_refuse: answer the upgrade with HTTP `status`. ws_close: close the socket with `code` (1006: drop the connection
    without a close frame). ws_silent: keep the socket open and send nothing more, not even heartbeats. ws_garbage: send
    malformed binary frames, then go on.
    """

    kind: SocketFaultKind
    code: int = 1011
    status: int = 503


class SocketFaults(Protocol):
    """Both methods count a returned fault as one of its times. They are called often, so they must be fast."""

    def upgrade_fault(self, user_id: str) -> SocketFault | None:
        """The fault of an upgrade (`ws_refuse`) or None. Called once for each authenticated upgrade."""

    def socket_fault(self, user_id: str) -> SocketFault | None:
        """The fault of an open socket of the user, or None. Called before each frame and heartbeat."""
