"""The page of the simulator: its data, and what a browser shows."""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from simulator.server import RunningSimulator
from tests.integration.simulator.order_forms import order_form
from tests.integration.simulator.ticker_client import INFY, ticker

START_S = 20.0
LEDGER_ROWS = 5_000


async def test_the_overview_is_bounded_however_long_the_ledger_is(
    simulator: RunningSimulator, client: httpx.AsyncClient
) -> None:
    """Of 5,000 orders the newest hundred are shown, newest first."""
    fill_ledger(simulator, LEDGER_ROWS)
    answer = await client.get("/_sim/overview")
    seen = answer.json()
    assert (seen["ledger"]["total"], len(seen["ledger"]["rows"])) == (LEDGER_ROWS, 100)
    assert [row["seq"] for row in seen["ledger"]["rows"][:2]] == [LEDGER_ROWS, LEDGER_ROWS - 1]
    assert seen["book"]["total"] >= len(seen["book"]["rows"])
    assert len(answer.content) < 200_000


async def test_the_overview_has_what_is_subscribed_resting_and_set(
    simulator: RunningSimulator, client: httpx.AsyncClient
) -> None:
    """Sockets with their instruments and prices, the order book, the faults."""
    await client.post("/orders/regular", data=order_form(price=1400, tag="REST1"))
    await client.post("/_sim/faults", json={"kind": "ws_silent", "user_id": "SIM002"})
    async with ticker(simulator) as socket:
        await socket.send("subscribe", [INFY])
        await socket.ticks()
        seen = (await client.get("/_sim/overview")).json()
    assert seen["instruments"]["rows"] == [{"instrument_token": INFY, "name": "NSE:INFY", "last_price": 1500}]
    assert [(row["user_id"], row["tokens"]) for row in seen["sockets"]] == [("SIM001", 1)]
    assert [(row["tag"], row["price"], row["status"]) for row in seen["book"]["rows"]] == [("REST1", 1400, "OPEN")]
    assert [row["kind"] for row in seen["faults"]["rows"]] == ["ws_silent"]


async def test_the_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    """One document; the policy forbids every other address. `/_sim` leads to it."""
    page = await client.get("/_sim", follow_redirects=True)
    assert (page.status_code, page.url.path) == (200, "/_sim/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text


def fill_ledger(simulator: RunningSimulator, count: int) -> None:
    """One order, cancelled, entered so often: five thousand placements would be a test of the exchange."""
    exchange = simulator.simulator.exchange
    form = order_form(price=1400, tag="AGAIN")
    order_id = exchange.place("SIM001", "regular", form)
    exchange.cancel("SIM001", "regular", order_id)
    for _ in range(count - 1):
        exchange.ledger.record(exchange.any_order(order_id), request=form)


class Page:
    """A tab of a headless browser, spoken to by the DevTools protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._count = 0

    async def ask(self, method: str, **params: object) -> dict[str, Any]:
        self._count += 1
        await self._socket.send(json.dumps({"id": self._count, "method": method, "params": params}))
        async with asyncio.timeout(START_S):
            while True:
                answer: dict[str, Any] = json.loads(await self._socket.recv())
                if answer.get("id") == self._count:
                    return dict(answer["result"])

    async def value(self, expression: str) -> Any:
        answer = await self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Waits until the expression holds."""
        async with asyncio.timeout(START_S):
            while not await self.value(f"Boolean({expression})"):
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def browser_page(url: str) -> AsyncIterator[Page]:
    """A headless Chromium with `url` open; skips where there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not on PATH (the Debian package of that name)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-port=0",
            "--window-size=1280,900",
        ]
        process = await asyncio.create_subprocess_exec(
            program, *flags, f"--user-data-dir={profile}", url,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            address = await find_page(Path(profile) / "DevToolsActivePort")
            async with connect(address, max_size=None, compression=None) as socket:
                yield Page(socket)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def find_page(port_file: Path) -> str:
    """The debugging address of the tab, once the browser has written its port."""
    async with asyncio.timeout(START_S), httpx.AsyncClient() as session:
        while not (port_file.exists() and port_file.read_text()):  # noqa: ASYNC240 - a few bytes
            await asyncio.sleep(0.05)
        port = port_file.read_text().splitlines()[0]  # noqa: ASYNC240
        while True:
            tabs = (await session.get(f"http://127.0.0.1:{port}/json")).json()
            found = [tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"]
            if found:
                return str(found[0])
            await asyncio.sleep(0.05)


async def test_the_page_in_a_browser(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """The page shows data, sets a price and a fault by its buttons, clears faults, and shows refusals."""
    fill_ledger(simulator, LEDGER_ROWS)
    async with ticker(simulator) as socket, browser_page(f"{simulator.url}/_sim/") as page:
        await socket.send("subscribe", [INFY])
        await page.until("document.querySelector('#instruments td')?.textContent === 'NSE:INFY'")
        assert await page.value("document.querySelector('#ledger-total').textContent") == "newest 100 of 5000"
        assert await page.value("document.querySelectorAll('#ledger tbody tr').length") == 100
        await page.value("document.querySelector('#buttons button').click()")
        await page.until("document.querySelector('#faults td')?.nextSibling.textContent === 'drop_after_accept'")
        await set_price(page, "1512.35")
        await page.until("document.querySelector('#instruments').textContent.includes('1512.35')")
        await set_price(page, "1512.33")
        await page.until("document.querySelector('#result.bad')?.textContent.includes('multiple of 0.05')")
        await keep_picture(page)
        await page.value("document.querySelector('#clear').click()")
        await page.until("document.querySelector('#faults .empty')")
        assert (await client.get("/_sim/faults")).json() == []
        assert await page.value("document.documentElement.scrollWidth <= innerWidth")


async def set_price(page: Page, price: str) -> None:
    await page.value(f"document.querySelector('#price').elements.last_price.value = '{price}'")
    await page.value("document.querySelector('#price').requestSubmit()")


async def keep_picture(page: Page) -> None:
    """Writes a screenshot to the file named by `KEEP_SCREENSHOT`."""
    if path := os.environ.get("KEEP_SCREENSHOT"):
        picture = await page.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(picture["data"]))  # noqa: ASYNC240
