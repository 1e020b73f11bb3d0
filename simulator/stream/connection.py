"""One open ticker socket: a reader that obeys commands and a writer that sends what is due.

The writer is woken by changes and by order texts. While it waits for a slow peer, ticks conflate in `Subscriptions`
(newest state wins) and order texts queue up to `MAX_TEXTS`; a peer that exceeds that or takes nothing for
`SEND_STALL_S` is dropped.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from simulator.market.market import Market
from simulator.rest.envelope import encode_json
from simulator.stream.messages import BadMessage, parse_command
from simulator.stream.packets import HEARTBEAT, MALFORMED_FRAMES
from simulator.stream.replayed_subscriptions import ReplayedSubscriptions
from simulator.stream.socket_faults import SocketFault, SocketFaults
from simulator.stream.subscriptions import Subscriptions
from simulator.transport import EXTENSION, transport_of

MAX_TEXTS = 1_000
SEND_STALL_S = 30.0
ABNORMAL_CLOSURE = 1006  # never sent (RFC 6455, 7.4.1): the connection just ends


class Dropped(Exception):
    """The connection ends here, without a close frame."""


class Connection:
    """Serves one accepted socket. `on_wish` is called when the set of subscribed instruments changed."""

    def __init__(
        self,
        websocket: WebSocket,
        *,
        user_id: str,
        api_key: str,
        market: Market,
        subscriptions: Subscriptions | ReplayedSubscriptions,
        faults: SocketFaults,
        heartbeat_s: float,
        on_wish: Callable[[], None],
    ) -> None:
        self.user_id = user_id
        self.api_key = api_key
        self.subscriptions = subscriptions
        self.frames_sent = 0
        self.ticks_sent = 0
        self._websocket = websocket
        self._market = market
        self._faults = faults
        self._heartbeat_s = heartbeat_s
        self._on_wish = on_wish
        self._texts: deque[str] = deque()
        self._due = asyncio.Event()
        self._overflown = False
        self._silent = False

    async def serve(self) -> None:
        """Until the peer or a fault ends it."""
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write())
                await self._read()
                writer.cancel()
        except* Dropped:
            self._abort()

    def wake(self) -> None:
        self._due.set()

    def push_text(self, kind: str, data: object) -> None:
        """Queue one text frame; never blocks. Beyond the bound the connection is dropped, not the text."""
        if self._silent:
            return
        if len(self._texts) >= MAX_TEXTS:
            self._overflown = True
            self._abort()
            return
        self._texts.append(encode_json({"type": kind, "data": data}).decode())
        self._due.set()

    async def _read(self) -> None:
        while (message := await self._websocket.receive())["type"] != "websocket.disconnect":
            complaint = self._obey(message.get("text"))
            if complaint:
                self.push_text("error", complaint)

    def _obey(self, text: str | None) -> str | None:
        if text is None:
            return "binary messages are not understood"
        try:
            command = parse_command(text)
        except BadMessage as refusal:
            return str(refusal)
        complaint = self.subscriptions.apply(command)
        self._on_wish()
        self._due.set()
        return complaint

    async def _write(self) -> None:
        try:
            while True:
                await self._wait_until_due()
                fault = self._faults.socket_fault(self.user_id)
                if fault is not None:
                    await self._suffer(fault)
                await self._send_what_is_due()
        except (WebSocketDisconnect, RuntimeError):  # the server's word for writing behind its own close of the socket
            return  # the reader hears of it too

    async def _wait_until_due(self) -> None:
        if self.subscriptions.waiting:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat_s):
                await self._due.wait()

    async def _send_what_is_due(self) -> None:
        self._due.clear()
        if self._overflown:
            raise Dropped
        idle = True
        while self._texts:
            idle = False
            await self._send(self._websocket.send_text(self._texts.popleft()))
        frame = self.subscriptions.take_frame(self._market.state)
        if frame is not None:
            idle = False
            await self._send(self._websocket.send_bytes(frame[0]))
            self.ticks_sent += frame[1]
        if idle:
            await self._send(self._websocket.send_bytes(HEARTBEAT))

    async def _send(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(SEND_STALL_S):
                await sending
        except TimeoutError:
            raise Dropped from None
        self.frames_sent += 1

    async def _suffer(self, fault: SocketFault) -> None:
        if fault.kind == "ws_silent":
            self._silent = True
            await asyncio.Event().wait()
        if fault.kind == "ws_garbage":
            for frame in MALFORMED_FRAMES:
                await self._send(self._websocket.send_bytes(frame))
        if fault.kind == "ws_close":
            if fault.code == ABNORMAL_CLOSURE:
                raise Dropped
            await self._websocket.close(fault.code)
            raise WebSocketDisconnect(fault.code)

    def _abort(self) -> None:
        """Cut the connection at once where the server gives us its transport; else the server closes it on return."""
        if EXTENSION in self._websocket.scope.get("extensions", {}):
            transport_of(self._websocket.scope).abort()
