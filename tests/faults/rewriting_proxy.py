"""An HTTP proxy in front of the simulator that changes answers: rows that cannot be read, answers given twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.integration.kite.scripted import read_request, serving
from tests.plain_http import NO_CERTIFICATES

Rewrite = Callable[[str, str, bytes], bytes]
"""From method, path and the answer's body to the body that is passed on."""


@dataclass(slots=True)
class RewritingProxy:
    """``rewrite`` and ``copies`` may be replaced at any time; the next request is met by the new ones."""

    url: str = ""
    rewrite: Rewrite = lambda _method, _path, body: body
    status: int | None = None  # of every answer; None: as it came
    copies: Callable[[str, str], int] = lambda _method, _path: 1
    """How often the answer to a request of this method and path is written to the connection."""

    def add_rows(self, path: str, *rows: Any) -> None:
        """From now on the list at this path has these rows too, in front of its own."""

        def rewrite(method: str, asked: str, body: bytes) -> bytes:
            if (method, asked) != ("GET", path):
                return body
            answer = json.loads(body)
            answer["data"] = [*rows, *(answer.get("data") or [])]
            return json.dumps(answer).encode()

        self.rewrite = rewrite


@asynccontextmanager
async def rewriting_proxy(target_url: str) -> AsyncIterator[RewritingProxy]:
    """Serves on a free port in front of ``target_url`` until the block ends."""
    proxy = RewritingProxy()
    async with httpx.AsyncClient(base_url=target_url, timeout=30, trust_env=False, verify=NO_CERTIFICATES) as client:

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while request := await read_request(reader):
                await _answer(proxy, client, request, writer)

        async with serving(converse) as proxy.url:
            yield proxy


async def _answer(
    proxy: RewritingProxy, client: httpx.AsyncClient, request: bytes, writer: asyncio.StreamWriter
) -> None:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    kept = {name: value for name, value in headers.items() if name.lower() in _PASSED_ON}
    answer = await client.request(method, target, content=body, headers=kept)
    path = target.partition("?")[0]
    content = proxy.rewrite(method, path, answer.content)
    shown = _head_of(
        proxy.status or answer.status_code, {"Content-Type": answer.headers["content-type"]}, length=len(content)
    )
    writer.write((shown + content) * proxy.copies(method, path))
    await writer.drain()


_PASSED_ON = {"authorization", "content-type", "x-kite-version"}


def _head_of(status: int, headers: Mapping[str, str], *, length: int) -> bytes:
    lines = [f"HTTP/1.1 {status} Answer", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()
