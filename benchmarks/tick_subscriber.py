"""The consumer of the tick benchmark: one subscriber of all tick channels, fast enough not to be the limit."""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.machine import pin

SILENCE_S = 20.0
PAUSE_S = 1.5
"""A paced run may lose ticks to conflation, so it ends when none has come for so long."""

_MARK = b"pmessage\r\n"
_SENT_AT = re.compile(rb'"volume_traded": ?(\d+)')


@dataclass(slots=True)
class Seen:
    """What arrived. ``sample`` is one tick; ``latencies_ms`` is empty unless the run is paced."""

    messages: int = 0
    cpu_s: float = 0.0
    sample: dict[str, Any] = field(default_factory=dict)
    channel: str = ""
    latencies_ms: list[float] = field(default_factory=list)


def read_ticks(core: int, host: str, port: int, password: str, expected: int, timed: bool, pipe: Connection) -> None:
    """Subscribes, sends a message about it, reads ``expected`` messages, sends ``Seen``."""
    pin(core)
    with socket.create_connection((host, port), timeout=SILENCE_S) as client:
        if password:
            client.sendall(f"AUTH {password}\r\n".encode())
        client.sendall(b"PSUBSCRIBE *ticks:*\r\n")
        _until(client, b"psubscribe")
        pipe.send("subscribed")
        started = time.process_time()
        seen = _read(client, expected=expected, timed=timed)
        seen.cpu_s = time.process_time() - started
    pipe.send(seen)


def _until(client: socket.socket, mark: bytes) -> None:
    data = b""
    while mark not in data or not data.endswith(b"\r\n"):
        data += client.recv(65536)


def _read(client: socket.socket, *, expected: int, timed: bool) -> Seen:
    seen = Seen()
    tail = b""
    first = b""
    while seen.messages < expected:
        try:
            piece = client.recv(1 << 20)
        except TimeoutError:
            break
        now_us = time.monotonic_ns() // 1000
        data = tail + piece
        if len(first) < 8192:
            first += piece
        if timed:
            client.settimeout(PAUSE_S)
            end = data.rfind(b"\n") + 1
            found = _SENT_AT.findall(data, 0, end)
            seen.messages += len(found)
            seen.latencies_ms += [((now_us - int(sent)) % 2**32) / 1000 for sent in found]
            tail = data[end:]
        else:
            seen.messages += data.count(_MARK)
            tail = data[-len(_MARK) + 1 :]
    seen.channel, seen.sample = _first_message(first)
    return seen


def _first_message(data: bytes) -> tuple[str, dict[str, Any]]:
    lines = data.split(b"\r\n", 9)
    return (lines[6].decode(), json.loads(lines[8])) if len(lines) > 9 else ("", {})
