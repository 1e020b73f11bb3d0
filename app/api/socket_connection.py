"""How much may one WebSocket send before it is known, and when was its client last alive? uvicorn's protocol with both.

Pongs and pings of the protocol are signs of life: libraries send them by themselves, and a client that only reads sends
nothing else. They are counted, because they need no key and reach no route.
"""

from __future__ import annotations

import time
from asyncio.transports import BaseTransport
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from app.api.connection_limits import Place
from app.events.protocol import CloseReason, MessageRate

PIECE_BYTES = 2048
PINGS_PER_SECOND = 20
KEYLESS_MESSAGE_BYTES = (
    16_384  # above the bound of a first message, so that the stream says what is wrong with a longer one
)
MAX_QUEUED_MESSAGES = 64  # read and not taken by the stream yet
CLOSE_S = 2.0  # in which a client has to answer a close


class SocketConnection(WebSocketsSansIOProtocol):
    """One WebSocket. ``place`` is that of its HTTP connection."""

    def __init__(self, *, place: Place | None = None, app_state: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(app_state=app_state | {"connection": place}, **kwargs)
        self._place = place
        self._control_frames = MessageRate(limit=PINGS_PER_SECOND)
        self._max_bytes = self.conn.max_message_size
        self._dropping = False
        self.close_timeout = CLOSE_S

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        if self._place is not None:
            self._place.connection = self
            self._place.await_client(time.monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._place is not None:
            self._place.leave()
        super().connection_lost(exc)

    def end(self) -> None:
        """Disconnect now, with a reason where the handshake is over: another connection takes the place."""
        self._dropping = True
        if self.handshake_complete and not self.close_sent and not self.disconnected:
            self.conn.send_close(CloseReason.UNAVAILABLE.code, CloseReason.UNAVAILABLE.text)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self.transport.close()
        self.loop.call_soon(self.transport.abort)  # a client that does not read keeps nothing

    def write_message(self, message: bytes) -> bool:
        """Write a whole message of the protocol at once; False where the client has not taken what was written before.

        Only between messages of the application, which waits for its own to be written, and only without compression.
        """
        if not self.handshake_complete or self.close_sent or self.disconnected or self._dropping:
            return False
        if self.transport.is_closing() or not self.writable.is_set() or self.transport.get_write_buffer_size():
            return False
        self.transport.write(message)
        return True

    def data_received(self, data: bytes) -> None:
        if self.handshake_complete and self._place is not None and not self._place.has_key:
            self.conn.max_message_size = KEYLESS_MESSAGE_BYTES
        else:
            self.conn.max_message_size = self._max_bytes
        for start in range(0, len(data), PIECE_BYTES):
            if self._dropping or self.transport.is_closing():
                return
            super().data_received(data[start : start + PIECE_BYTES])
            if self.queue.qsize() > MAX_QUEUED_MESSAGES:
                self._dropping = True  # the stream closes a client that sends so many

    def handle_parser_exception(self) -> None:
        if self.conn.close_sent is None:  # the handshake cannot be read
            self.transport.abort()
        else:
            super().handle_parser_exception()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:  # uvicorn would write a trace for each
                self.frames = []
                self._dropping = True
                if self.conn.close_sent is None:
                    self.conn.send_close(1007)
                    self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        if self._is_alive():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._is_alive():
            super().handle_pong(event)

    def _is_alive(self) -> bool:
        """Note a sign of life; False when there are too many, or when the client does not read the answers."""
        if self._control_frames.exceeded(time.monotonic()) or not self.writable.is_set():
            self._dropping = True
            self.transport.abort()
            return False
        if self._place is not None:
            self._place.heard_at = time.monotonic()
        return True
