"""One socket's place in the order stream: what to send next, in order, without a gap and without a repeat."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.events.event_log import MAX_PAGE, EventLog
from app.events.protocol import (
    CloseReason,
    StreamClosed,
    authenticated_frame,
    event_frame,
    heartbeat_frame,
    snapshot_frame,
)
from app.events.resume import SocketStart
from app.kit.broadcast import Mailbox, Overflowed


@dataclass(frozen=True, slots=True)
class EventItem:
    """An event, rendered once for all sockets of its account."""

    seq: int
    frame: str
    wire: bytes
    """The same as a frame of the WebSocket protocol, built once for all sockets."""


FrameKind: TypeAlias = Literal["greeting", "snapshot", "event", "heartbeat", "reply"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A message for the client. Who has it has everything up to ``seq``; None where that cannot be said."""

    kind: FrameKind
    text: str
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The hub has handed out everything up to ``seq``."""

    seq: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a message of this socket's client."""

    frame: str


@dataclass(frozen=True, slots=True)
class Closing:
    """The stream closes the socket."""

    reason: CloseReason


Item: TypeAlias = EventItem | Heartbeat | Reply | Closing


class OrderReader:
    """``next_batch`` gives the greeting, then the replay page by page, then what is live.

    ``box`` was subscribed before ``start`` was read, so that together they miss nothing; what they both have is
    sent once, because only ``last + 1`` is ever sent.
    """

    def __init__(self, log: EventLog, *, box: Mailbox[Item], start: SocketStart) -> None:
        self._log = log
        self._box = box
        self._account_id = start.head.account_id
        self.epoch = start.head.epoch
        self._greeting = _greet(start)
        self._last = start.last
        self._read_to = start.head.seq
        self._waiting: deque[Item] = deque()
        self._is_idle = False
        self._write: Callable[[bytes], bool] | None = None
        box.offer_first(self._take_at_once)

    def write_with(self, write: Callable[[bytes], bool]) -> None:
        """Give events to this function as they come, while nothing else waits for the client.

        It returns False where it cannot write at once; then the event waits in the mailbox as any other.
        """
        self._write = write

    def _take_at_once(self, item: Item) -> bool:
        if self._write is None or not self._is_idle or not isinstance(item, EventItem) or item.seq != self._last + 1:
            return False
        if self._write(item.wire):
            self._last = item.seq
            return True
        return False

    def reply(self, frame: str) -> None:
        """Queue an answer to the client behind what waits already."""
        self._box.put(Reply(frame))

    async def next_batch(self) -> list[str]:
        """The texts of ``next_frames``."""
        return [frame.text for frame in await self.next_frames()]

    async def next_frames(self) -> list[Frame]:
        """The frames to send now; an empty list: ask again. Raises StreamClosed, and Unavailable when a replay cannot
        go on."""
        if self._greeting:
            greeting, self._greeting = self._greeting, []
            return greeting
        if self._last < self._read_to:
            return await self._read_page()
        if not self._waiting:
            self._is_idle = True
            try:
                self._waiting.extend(await self._box.take())
            except Overflowed as error:
                raise StreamClosed(CloseReason.SLOW_CONSUMER) from error
            finally:
                self._is_idle = False
        return self._take_waiting()

    async def _read_page(self) -> list[Frame]:
        """The next events straight from the log. A gap means that they were deleted: the client has to start anew."""
        limit = min(MAX_PAGE, self._read_to - self._last)
        events = await self._log.page(self._account_id, after=self._last, limit=limit)
        expected = range(self._last + 1, self._last + 1 + limit)
        if [event.seq for event in events] != list(expected):
            raise StreamClosed(CloseReason.RESTART)
        self._last = events[-1].seq
        return [Frame("event", event_frame(event), event.seq) for event in events]

    def _take_waiting(self) -> list[Frame]:
        """The frames up to the first gap; a gap sets ``_read_to``, and what follows it waits until it is filled."""
        frames: list[Frame] = []
        while self._waiting:
            item = self._waiting[0]
            if isinstance(item, EventItem) and item.seq > self._last + 1:
                self._read_to = item.seq - 1
                break
            self._waiting.popleft()
            frames.extend(self._frame_of(item))
        return frames

    def _frame_of(self, item: Item) -> list[Frame]:
        match item:
            case EventItem(seq=seq, frame=frame):
                if seq <= self._last:
                    return []
                self._last = seq
                return [Frame("event", frame, seq)]
            case Heartbeat(seq):
                return [Frame("heartbeat", heartbeat_frame(max(seq, self._last)))]
            case Reply(frame):
                return [Frame("reply", frame)]
            case Closing(reason):
                raise StreamClosed(reason)


def _greet(start: SocketStart) -> list[Frame]:
    if start.orders is None:
        return [Frame("greeting", authenticated_frame(start.head, resumed=True), start.last)]
    return [
        Frame("greeting", authenticated_frame(start.head, resumed=False)),  # without the snapshot it has nothing yet
        Frame("snapshot", snapshot_frame(start.orders, seq=start.head.seq), start.head.seq),
    ]
