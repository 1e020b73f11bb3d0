"""How connections to the broker leave this machine: directly or through an HTTP proxy, over IPv4 alone or not."""

from __future__ import annotations

import asyncio
import base64
import socket
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

HEAD_LIMIT = 16 * 1024
"""Bytes of a proxy's answer to CONNECT."""

ANY_IPV4 = "0.0.0.0"  # noqa: S104 - the address that a connection leaves from, not one that is listened on


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """``proxy`` is ``http://[user:password@]host:port``; empty: none. It is asked for tunnels, so it sees no token.

    ``source_ip`` is the address of this machine from which requests leave; empty: the system chooses. The ticker needs
    none: the broker sends ticks to any address.
    """

    proxy: str = ""
    ipv4_only: bool = False
    source_ip: str = ""

    @property
    def family(self) -> socket.AddressFamily:
        """The addresses that are tried."""
        return socket.AF_INET if self.ipv4_only else socket.AF_UNSPEC

    def __str__(self) -> str:
        parts = urlsplit(self.proxy)
        through = f"through the proxy {parts.hostname}:{parts.port}" if self.proxy else "directly"
        source = f", from {self.source_ip}" if self.source_ip else ""
        return f"{through}, {'IPv4 only' if self.ipv4_only else 'IPv4 or IPv6'}{source}"


DIRECT = Route()


async def open_tunnel(route: Route, host: str, port: int) -> socket.socket:
    """A connection to ``host`` through the route's proxy. Raises OSError, ConnectionError when the proxy refuses."""
    parts = urlsplit(route.proxy)
    sock = await _connect(str(parts.hostname), int(parts.port or 80), family=route.family)
    try:
        await asyncio.get_running_loop().sock_sendall(sock, _connect_request(route.proxy, host, port))
        _check_status(await _read_status(sock))
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect(host: str, port: int, *, family: socket.AddressFamily) -> socket.socket:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    failure: OSError = OSError(f"no address of {host}")
    for kind, _, _, _, address in found:
        sock = socket.socket(kind, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def _connect_request(proxy: str, host: str, port: int) -> bytes:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    parts = urlsplit(proxy)
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(secret.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()


def _check_status(status: int) -> None:
    if status != 200:
        raise ConnectionError(f"the proxy refuses the connection with HTTP {status}")


async def _read_status(sock: socket.socket) -> int:
    """The status of the proxy's answer, whose head is read and nothing after it: the broker does not speak first."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = await asyncio.get_running_loop().sock_recv(sock, 4096)
        head += data
        if not data or len(head) > HEAD_LIMIT:
            raise ConnectionError("the proxy does not answer in HTTP")
    fields = head.split(b"\r\n", 1)[0].split()
    if len(fields) < 2 or not fields[0].startswith(b"HTTP/1.") or not fields[1].isdigit():
        raise ConnectionError("the proxy does not answer in HTTP")
    return int(fields[1])
