"""What a TCP client sees, byte by byte: answers that never come, end early, or end in a reset."""

import asyncio
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from tests.integration.simulator.order_forms import order_form

End = Literal["closed", "reset", "silent", "answered"]


@dataclass(frozen=True, slots=True)
class Seen:
    """The bytes that came and how the connection ended; `silent`: it was open when the wait was over."""

    data: bytes
    end: End


def order_request(*, authorization: str = "token simkey:simtoken", **changes: object) -> bytes:
    """`POST /orders/regular` as bytes."""
    return raw_request(
        "POST", "/orders/regular", urlencode(order_form(**changes)).encode(), authorization=authorization
    )


def raw_request(method: str, path: str, body: bytes = b"", *, authorization: str = "token simkey:simtoken") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def exchange_bytes(port: int, request: bytes, *, wait: float = 20.0) -> Seen:
    """Sends `request` and reads until the connection ends, the answer is complete, or `wait` is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(wait):
            while not is_whole(data):
                chunk = await reader.read(65_536)
                if not chunk:
                    return Seen(data, "closed")
                data += chunk
    except TimeoutError:
        return Seen(data, "silent")
    except ConnectionResetError:
        return Seen(data, "reset")
    finally:
        writer.transport.abort()
    return Seen(data, "answered")


def is_whole(data: bytes) -> bool:
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(body) >= int(lengths[0].split(b":")[1])
