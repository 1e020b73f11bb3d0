"""The ticker feed of one account: connect, subscribe, stream, reconnect, until cancelled.

What callers may rely on: subscriptions survive every reconnect with their modes, a change touches only the tokens that
it names, a socket that falls silent for ``watchdog_s`` is replaced, malformed frames are counted and dropped, the
credentials are read anew at each connect, and no log line carries the socket's address.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote_plus, urlsplit

from loguru import logger
from websockets.uri import WebSocketURI, parse_uri

from app.broker.market import Mode
from app.broker.port import TOKENS_PER_SOCKET, CredentialSource, FeedListener, FeedState
from app.errors import BadInput, Problem
from app.kit.backoff import Backoff
from app.kit.clock import Clock
from app.kite.endpoints import CLIENT_HEADERS
from app.kite.route import DIRECT, Route, open_tunnel
from app.kite.socket import TickerSocket, UpgradeRefused
from app.kite.wire.stream import BrokerNote, OrderPush, parse_text, subscribe_messages, ticker_url, unsubscribe_messages
from app.kite.wire.ticks import HEARTBEAT_SIZE, SMALLEST_PACKET, cut_frame

REPLAY_NOTE = BrokerNote(kind="message", text="replay")
"""What a simulator that replays a recording sends first on every socket; the broker itself has no such text."""

NOTES_LOGGED_PER_SOCKET = 20
NOTE_LENGTH = 300  # characters of a note that are logged
CLOSE_GRACE_S = 0.5  # for the answer to a close frame


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """Where the ticker is, and the times of its connections in seconds."""

    ws_url: str  # wss://ws.kite.trade
    connect_timeout_s: float = 7.0  # until the upgrade is answered
    watchdog_s: float = 5.0  # without any frame: the connection is replaced
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=1.0, cap_s=60.0))  # between attempts to connect
    throttled_wait_s: float = 30.0  # after HTTP 429: too many sockets for this api_key
    max_tokens: int = TOKENS_PER_SOCKET  # instruments
    tls: ssl.SSLContext | None = None  # None: the system's authorities
    route: Route = DIRECT

    def __post_init__(self) -> None:
        parts = urlsplit(self.ws_url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError(f"{self.ws_url!r} is not an address like wss://ws.kite.trade")


class KiteFeed:
    """Implements ``app.broker.port.Feed`` over one socket at a time; also the ``FrameSink`` of that socket."""

    def __init__(
        self,
        settings: FeedSettings,
        *,
        account_id: str,
        credentials: CredentialSource,
        listener: FeedListener,
        clock: Clock,
        random_number: Callable[[], float] = random.random,
    ) -> None:
        self.state = FeedState()
        self._settings = settings
        self._credentials = credentials
        self._listener = listener
        self._clock = clock
        self._random = random_number
        self._log = logger.bind(account_id=account_id)
        self._wanted: dict[int, Mode] = {}
        self._socket: TickerSocket | None = None
        self._last_inbound = 0.0  # monotonic seconds of the last frame
        self._connects = 0
        self._failures = 0  # since the last frame: the backoff's attempt
        self._notes = 0  # of the present socket
        self._secret = ""  # the access token of the present socket, to keep it out of the logs
        self._wake = asyncio.Event()

    # subscriptions

    def subscribe(self, modes: Mapping[int, Mode]) -> None:
        """Raises BadInput, and changes nothing, when the socket's limit of tokens would be exceeded."""
        changed = {token: mode for token, mode in modes.items() if self._wanted.get(token) != mode}
        total = len(self._wanted.keys() | changed.keys())
        if total > self._settings.max_tokens:
            text = f"{total} instruments on one socket, the broker allows {self._settings.max_tokens}"
            raise BadInput([Problem(loc=("subscriptions",), msg=text)])
        self._wanted.update(changed)
        if self.state.connected and self._socket is not None:
            for message in subscribe_messages(changed):
                self._socket.send_text(message)

    def unsubscribe(self, tokens: Sequence[int]) -> None:
        """Tokens that are not subscribed are ignored."""
        gone = [token for token in dict.fromkeys(tokens) if self._wanted.pop(token, None) is not None]
        if self.state.connected and self._socket is not None:
            for message in unsubscribe_messages(gone):
                self._socket.send_text(message)

    def subscriptions(self) -> Mapping[int, Mode]:
        """Mode by token of everything that is subscribed, connected or not."""
        return dict(self._wanted)

    def reconnect_soon(self) -> None:
        """End a running wait, for instance because there is a new access token."""
        self._wake.set()

    # the loop

    async def run(self) -> None:
        """Connect, and connect again after each failure; until cancelled."""
        while True:
            wait_s = await self._connect_and_stream()
            self._failures += 1
            delay = self._settings.backoff.delay(self._failures, random=self._random())
            await self._pause(max(delay, wait_s))

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _connect_and_stream(self) -> float:
        """One socket, from the attempt to connect until it is closed.

        Returns the least number of seconds to wait before the next.
        """
        try:
            socket = await self._connect()
        except UpgradeRefused as refused:
            self._note_failure(_explain_refusal(refused.status))
            return self._settings.throttled_wait_s if refused.status == 429 else 0.0
        except _NotLoggedIn:
            self._note_failure("no access token: log in first")
            return 0.0
        except TimeoutError:
            self._note_failure(f"no connection within {self._settings.connect_timeout_s:g} s")
            return 0.0
        except (OSError, ValueError) as error:
            # the text of an error may repeat the address: only ConnectionErrors of TickerSocket itself are safe to show
            own = type(error) is ConnectionError
            self._note_failure(str(error) if own else f"cannot connect: {type(error).__name__}")
            return 0.0
        reason = "stopped"
        try:
            self._on_up(socket)
            reason = await self._stream_until_closed(socket)
        finally:
            self._on_down(reason)
            await socket.close(grace_s=CLOSE_GRACE_S)
        return 0.0

    async def _connect(self) -> TickerSocket:
        self.state.replaying = False
        credentials = self._credentials()
        self._secret = credentials.access_token.get_secret_value() if credentials.access_token else ""
        if not self._secret:
            raise _NotLoggedIn
        settings = self._settings
        url = ticker_url(settings.ws_url, api_key=credentials.api_key, access_token=self._secret)
        uri = parse_uri(url)
        socket = TickerSocket(uri, sink=self, headers=CLIENT_HEADERS)
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                await self._open(socket, uri)
                await socket.wait_upgraded()
        except BaseException:
            socket.abort()
            raise
        return socket

    async def _open(self, socket: TickerSocket, uri: WebSocketURI) -> None:
        route, loop = self._settings.route, asyncio.get_running_loop()
        tls = (self._settings.tls or True) if uri.secure else None
        if not route.proxy:
            await loop.create_connection(lambda: socket, uri.host, uri.port, ssl=tls, family=route.family)
            return
        tunnel = await open_tunnel(route, uri.host, uri.port)
        name = uri.host if uri.secure else None
        await loop.create_connection(lambda: socket, sock=tunnel, ssl=tls, server_hostname=name)

    def _on_up(self, socket: TickerSocket) -> None:
        self._socket = socket
        self._notes = 0
        self._last_inbound = self._clock.monotonic()
        state = self.state
        state.connected, state.sockets, state.last_error = True, 1, None
        first = self._connects == 0
        self._connects += 1
        state.reconnects = self._connects - 1
        for message in subscribe_messages(self._wanted):
            socket.send_text(message)
        self._log.bind(instruments=len(self._wanted)).info("ticker connected")
        self._listener.on_connected(first=first)
        if state.replaying:  # announced together with the answer to the upgrade
            self._listener.on_replay()

    async def _stream_until_closed(self, socket: TickerSocket) -> str:
        """Return the reason why the socket closed, or why it has to be: ``watchdog_s`` without any frame."""
        while True:
            silent_s = self._clock.monotonic() - self._last_inbound
            left_s = self._settings.watchdog_s - silent_s
            if left_s <= 0:
                return f"no frame for {self._settings.watchdog_s:g} s"
            try:
                async with asyncio.timeout(left_s):
                    await socket.closed.wait()
            except TimeoutError:
                continue
            return socket.close_reason

    def _on_down(self, reason: str) -> None:
        self._socket = None
        self.state.connected, self.state.sockets, self.state.last_error = False, 0, reason
        self._log.warning("ticker disconnected: {}", reason)
        self._listener.on_disconnected(reason)

    def _note_failure(self, reason: str) -> None:
        self.state.last_error = reason
        self._log.warning("ticker cannot connect: {}", reason)

    # FrameSink: called from the transport's reader, never awaits

    def on_any_frame(self) -> None:
        self._last_inbound = self._clock.monotonic()
        self._failures = 0

    def on_binary(self, message: bytes) -> None:
        state = self.state
        now = self._clock.now().timestamp()
        state.frames += 1
        if len(message) == HEARTBEAT_SIZE:
            return
        packets = cut_frame(message)
        if packets is None:
            state.malformed += 1
        elif packets:
            state.packets += len(packets)
            if any(len(packet) >= SMALLEST_PACKET for packet in packets):  # the first one, as a rule
                state.last_tick_at = now
            self._listener.on_packets(packets, received_at_ms=int(now * 1000))

    def on_text(self, message: bytes) -> None:
        self.state.frames += 1
        try:
            parsed = parse_text(message)
        except ValueError:
            self.state.malformed += 1
            return
        if isinstance(parsed, OrderPush):
            self._listener.on_order_update(parsed.payload)
        elif parsed == REPLAY_NOTE:
            self._on_replay()
        elif isinstance(parsed, BrokerNote):
            self._log_note(parsed)

    def _on_replay(self) -> None:
        self.state.replaying = True
        self._log.warning("ticker sends a recording, not the market")
        if self.state.connected:
            self._listener.on_replay()

    def _log_note(self, note: BrokerNote) -> None:
        self.state.notes += 1
        self._notes += 1
        if self._notes <= NOTES_LOGGED_PER_SOCKET:
            text = note.text.replace(self._secret, "***").replace(quote_plus(self._secret), "***")[:NOTE_LENGTH]
            self._log.warning("broker's {} on the ticker: {}", note.kind, text)


class _NotLoggedIn(Exception):
    """There is no access token."""


def _explain_refusal(status: int) -> str:
    if status == 403:
        return "HTTP 403 at the upgrade: the access token is dead, or the app has no right to stream"
    if status == 429:
        return "HTTP 429 at the upgrade: too many sockets for this api_key"
    return f"HTTP {status} at the upgrade"
