"""Start, stop, a taken port, and the command line."""

import asyncio
import os
import re
import signal
import sys

import httpx
import pytest

from simulator.server import PortTakenError, running_simulator
from simulator.settings import SimulatorSettings
from tests.integration.simulator.order_forms import order_form
from tests.integration.simulator.ticker_client import until
from tests.simulator_thread import simulator_in_thread


async def test_a_taken_port_is_an_error_of_one_line() -> None:
    """It is known before the simulator is built."""
    async with running_simulator() as running:
        with pytest.raises(
            PortTakenError, match=rf"cannot listen on 127\.0\.0\.1:{running.port}: Address already in use"
        ):
            async with running_simulator(SimulatorSettings(port=running.port)):
                pass


async def test_a_stop_leaves_no_task_and_no_listener() -> None:
    """Also with a connected client and a request that hangs."""
    before = asyncio.all_tasks()
    async with (
        asyncio.timeout(30),  # the hang would last longer
        running_simulator() as running,
        httpx.AsyncClient(base_url=running.url, timeout=120) as client,
    ):
        await client.post("/_sim/faults", json={"kind": "hang", "params": {"ms": 120_000}})
        hanging = asyncio.create_task(client.get("/orders"))
        await until(lambda: all(fault.struck for fault in running.simulator.faults.active()))
    with pytest.raises(httpx.HTTPError):
        await hanging
    assert asyncio.all_tasks() == before
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", running.port)


async def test_the_same_seed_and_requests_give_the_same_ledger() -> None:
    """Ids and fills are the same; another seed gives other ids."""

    async def run(seed: int) -> list[tuple[object, object, object]]:
        async with running_simulator(SimulatorSettings(port=0, seed=seed, ticks_per_second=0)) as running:
            headers = {"Authorization": "token simkey:simtoken"}
            async with httpx.AsyncClient(base_url=running.url, headers=headers) as client:
                market = {"instruments": {"NSE:INFY": {"last_price": 1500, "frozen": True, "liquidity": 7}}}
                await client.post("/_sim/market", json=market)
                for price in (1500, 1490, 1505):
                    await client.post("/orders/regular", data=order_form(price=price))
                entries = (await client.get("/_sim/ledger")).json()
        return [(entry["order_id"], entry["state"], entry["filled_quantity"]) for entry in entries]

    first, again, other = await run(3), await run(3), await run(4)
    assert first == again
    assert [entry[0] for entry in first] != [entry[0] for entry in other]


def test_a_simulator_in_a_thread_serves_callers_without_a_loop() -> None:
    """It is stopped at the end of the block."""
    with simulator_in_thread() as running:
        assert httpx.get(f"{running.url}/_sim/stats").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.url}/_sim/stats")


async def start_program(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulator",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


async def test_the_program_prints_its_addresses_and_stops_on_a_signal() -> None:
    """The exit code is 0; a second program on its port prints one line and exits with 1."""
    program = await start_program("--port", "0", "--accounts", "2")
    try:
        assert program.stdout is not None
        async with asyncio.timeout(20):
            line = (await program.stdout.readline()).decode()
            accounts = [(await program.stdout.readline()).decode() for _ in range(2)]
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found is not None
        assert "api_key simkey2, api_secret simsecret2, access_token simtoken2" in accounts[1]
        second = await start_program("--port", found[1])
        async with asyncio.timeout(20):
            out, err = await second.communicate()
        assert (second.returncode, out) == (1, b"")
        assert err.decode() == f"simulator: cannot listen on 127.0.0.1:{found[1]}: Address already in use\n"
    finally:
        program.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await program.communicate()
    assert program.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--accounts", "0"], "simulator: accounts must be between 1 and 999, got 0\n"),
        (["--start-time", "noon"], "simulator: start_time wants an ISO 8601 time, got 'noon'\n"),
        (["--cash", "much"], "simulator: cash wants a number of rupees, got 'much'\n"),
        (
            ["--replay", "x", "--replay-speed", "0"],
            "simulator: replay_speed must be above 0 and at most 100000, got 0.0\n",
        ),
        (["--speed", "-1"], "simulator: clock_speed must be between 0 and 100000, got -1.0\n"),
    ],
)
async def test_a_bad_setting_is_an_error_of_one_line(arguments: list[str], message: str) -> None:
    """The exit code is 2."""
    program = await start_program("--port", "0", *arguments)
    async with asyncio.timeout(20):
        out, err = await program.communicate()
    assert (program.returncode, out, err.decode()) == (2, b"", message)
