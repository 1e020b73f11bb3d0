"""One open ticker socket: a reader that applies the client's commands, and a writer that sends what is due.

Changes of quotes and order texts wake the writer. While a slow client keeps it waiting, ticks conflate in
`Subscriptions` (the newest state wins), and up to `MAX_TEXTS` texts queue. Above that, or when the client reads nothing
for `SEND_STALL_S`, the connection is dropped.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect

from simulator.envelope import encode_json
from simulator.market.market import Market
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
    """The connection is ended without a close frame."""


@dataclass(frozen=True, slots=True)
class SocketOwner:
    """Who opened a socket."""

    user_id: str
    api_key: str


class Connection:
    """Serves one accepted socket. `on_subscription_change` is called after each command of the client."""

    def __init__(
        self,
        websocket: WebSocket,
        *,
        owner: SocketOwner,
        market: Market,
        subscriptions: Subscriptions | ReplayedSubscriptions,
        faults: SocketFaults,
        heartbeat_s: float,
        on_subscription_change: Callable[[], None],
    ) -> None:
        self.owner = owner
        self.subscriptions = subscriptions
        self.frames_sent = 0
        self.ticks_sent = 0
        self._websocket = websocket
        self._market = market
        self._faults = faults
        self._heartbeat_s = heartbeat_s
        self._on_subscription_change = on_subscription_change
        self._texts: deque[str] = deque()
        self._due = asyncio.Event()
        self._overflowed = False
        self._silent = False

    async def serve(self) -> None:
        """Returns when the client or a fault has ended the connection."""
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write())
                await self._read()
                writer.cancel()
        except* Dropped:
            self._abort()

    def wake(self) -> None:
        """Something is due: the writer sends it."""
        self._due.set()

    def push_text(self, kind: str, data: object) -> None:
        """Queues a text frame; never waits. Above `MAX_TEXTS` the connection is dropped."""
        if self._silent:
            return
        if len(self._texts) >= MAX_TEXTS:
            self._overflowed = True
            self._abort()
            return
        self._texts.append(encode_json({"type": kind, "data": data}).decode())
        self._due.set()

    async def _read(self) -> None:
        while (message := await self._websocket.receive())["type"] != "websocket.disconnect":
            error = self._apply(message.get("text"))
            if error:
                self.push_text("error", error)

    def _apply(self, text: str | None) -> str | None:
        """Carries out a command; returns the text of an error for the client, or None."""
        if text is None:
            return "binary messages are not understood"
        try:
            command = parse_command(text)
        except BadMessage as refusal:
            return str(refusal)
        error = self.subscriptions.apply(command)
        self._on_subscription_change()
        self._due.set()
        return error

    async def _write(self) -> None:
        try:
            while True:
                await self._wait_until_due()
                fault = self._faults.socket_fault(self.owner.user_id)
                if fault is not None:
                    await self._carry_out(fault)
                await self._send_due()
        except (WebSocketDisconnect, RuntimeError):  # starlette raises RuntimeError for a write after its own close
            return  # the reader gets the disconnect too

    async def _wait_until_due(self) -> None:
        if self.subscriptions.waiting:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat_s):
                await self._due.wait()

    async def _send_due(self) -> None:
        """Sends queued texts, then a frame of ticks; a heartbeat when there is neither."""
        self._due.clear()
        if self._overflowed:
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

    async def _carry_out(self, fault: SocketFault) -> None:
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
        """Ends the TCP connection immediately, where the server gives its transport; else it is closed on return."""
        if EXTENSION in self._websocket.scope.get("extensions", {}):
            transport_of(self._websocket.scope).abort()
