"""What a fault script can do to the ticker WebSocket, as the sockets see it; the registry of faults implements it."""

from dataclasses import dataclass
from typing import Literal, Protocol

SocketFaultKind = Literal["ws_silent", "ws_close", "ws_refuse", "ws_garbage"]


@dataclass(frozen=True, slots=True)
class SocketFault:
    """One thing to do now, once.

    ws_refuse: answer the upgrade with HTTP `status`. ws_close: close this socket with `code` (1006: drop the
    connection without a close frame). ws_silent: from now on this socket stays open and receives nothing, not even
    heartbeats. ws_garbage: send this socket malformed binary frames, then go on.
    """

    kind: SocketFaultKind
    code: int = 1011
    status: int = 503


class SocketFaults(Protocol):
    """Both are asked often (each frame, each heartbeat) and consume one use of the fault that they return."""

    def upgrade_fault(self, user_id: str) -> SocketFault | None:
        """Asked once per accepted session, before the upgrade is answered: only ws_refuse makes sense."""

    def socket_fault(self, user_id: str) -> SocketFault | None:
        """Asked before each frame to a socket of `user_id`: ws_silent, ws_close or ws_garbage."""


class NoFaults:
    """Nothing ever fails."""

    def upgrade_fault(self, user_id: str) -> SocketFault | None:  # noqa: ARG002 - the Protocol's name
        return None

    def socket_fault(self, user_id: str) -> SocketFault | None:  # noqa: ARG002
        return None
