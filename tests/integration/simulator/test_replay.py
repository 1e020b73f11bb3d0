"""Recordings: from a ticker into a file, and from the file to sockets."""

import asyncio
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from simulator.recorder import RecordingError, Ticker, record
from simulator.replay import HEADER, BadRecordingError, RecordedFrame, encode_entry, read_recording
from simulator.server import RunningSimulator
from simulator.settings import ReplaySettings
from simulator.stream.packets import container
from tests.integration.simulator.ticker_client import (
    INFY,
    LIVELY,
    NIFTY,
    QUIET,
    SBIN,
    read_frame,
    rest,
    simulator,
    ticker,
    until,
)

FOREIGN = 12345 << 8 | 2
"""A token that the simulator does not list."""


def frame(*packets: bytes) -> bytes:
    return container(b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets), count=len(packets))


def quote(token: int, *, last_price: int) -> bytes:
    """44 bytes: no depth and no time."""
    return b"".join(word.to_bytes(4, "big") for word in (token, last_price, 1, last_price, 10, 5, 5, *[last_price] * 4))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Three frames in two seconds."""
    frames = [
        RecordedFrame(1_000_000, frame(quote(INFY, last_price=160_000), quote(FOREIGN, last_price=700))),
        RecordedFrame(1_200_000, frame(quote(SBIN, last_price=90_000))),
        RecordedFrame(3_000_000, frame(quote(INFY, last_price=170_000))),
    ]
    path = tmp_path / "session.frames"
    path.write_bytes(HEADER + b"".join(encode_entry(each) for each in frames))
    return path


def replaying(path: Path, *, speed: float = 10.0) -> ReplaySettings:
    return ReplaySettings(path, speed=speed)


async def has_ended(running: RunningSimulator) -> None:
    """Waits until the whole recording was played."""
    await until(lambda: running.simulator.player is not None and running.simulator.player.stats()["state"] == "ended")


def source_of(running: RunningSimulator) -> str:
    return f"{running.ws_url}/?api_key=simkey&access_token=simtoken"


async def test_recorded_frames_are_sent_at_the_chosen_speed_and_marked(recording: Path) -> None:
    """Two seconds take a fifth of one; each socket gets its tokens, listed or not, byte for byte."""
    settings = replace(QUIET, replay=replaying(recording))
    async with simulator(settings) as running, ticker(running) as client:
        assert await client.text() == {"type": "message", "data": "replay"}
        started = time.monotonic()
        await client.send("subscribe", [INFY, FOREIGN])
        assert await client.frames_without_heartbeats(2) == [
            frame(quote(INFY, last_price=160_000), quote(FOREIGN, last_price=700)),
            frame(quote(INFY, last_price=170_000)),
        ]
        assert time.monotonic() - started >= 0.2
        await has_ended(running)
        report = running.simulator.player
        assert report is not None
        assert report.stats() | {"file": ""} == {
            "file": "", "speed": 10.0, "repeat": "once", "state": "ended", "frames_played": 3, "rounds_finished": 1,
        }  # fmt: skip


async def test_quotes_follow_the_recording_and_every_answer_is_marked(recording: Path) -> None:
    """REST has the last recorded price; errors and the upgrade have the header too; the rate cannot be set."""
    settings = replace(QUIET, replay=replaying(recording, speed=1_000))
    async with simulator(settings) as running, ticker(running) as client, rest(running) as session:
        await client.send("subscribe", [INFY])
        await has_ended(running)
        answer = await session.get("/quote", params={"i": "NSE:INFY"})
        value = answer.json()["data"]["NSE:INFY"]
        assert (value["last_price"], value["depth"]["sell"][0]["price"]) == (1700, 1700)
        missing = await session.get("/nowhere")
        assert (missing.status_code, missing.headers["x-simulator-source"]) == (404, "replay")
        assert answer.headers["x-simulator-source"] == "replay"
        async with connect(source_of(running)) as other:
            assert other.response is not None
            assert other.response.headers["x-simulator-source"] == "replay"
        refusal = await session.post("/_sim/market", json={"ticks_per_second": 100})
        assert (refusal.status_code, "recording" in refusal.json()["message"]) == (400, True)


async def test_simulated_prices_are_not_marked() -> None:
    """There is neither the text nor the header."""
    async with simulator(QUIET) as running, ticker(running) as client, rest(running) as session:
        assert "x-simulator-source" not in (await session.get("/user/profile")).headers
        assert all(isinstance(item, bytes) for item in await client.frames_within(0.1))


async def test_a_recording_may_be_repeated(recording: Path) -> None:
    """It is played again until the simulator stops."""
    settings = replace(QUIET, replay=ReplaySettings(recording, speed=1_000, repeat="loop"))
    async with simulator(settings) as running, ticker(running) as client:
        await client.send("subscribe", [SBIN])
        for _ in range(3):
            assert await client.ticks() == {SBIN: 44}


async def test_a_file_that_is_no_recording_prevents_the_start(tmp_path: Path) -> None:
    """The simulator does not listen then."""
    (tmp_path / "file").write_bytes(b"hello")
    with pytest.raises(BadRecordingError, match="not a recording"):
        async with simulator(replace(QUIET, replay=replaying(tmp_path / "file"))):
            pass


async def test_a_ticker_is_recorded_and_replays_as_it_was(tmp_path: Path) -> None:
    """The recorder writes frames with their times, no heartbeats; a second simulator sends the same bytes."""
    path = tmp_path / "session.frames"
    async with simulator(replace(LIVELY, heartbeat_s=0.05)) as running:
        spec = Ticker(ws_url=running.ws_url, api_key="simkey", access_token="simtoken", tokens=[INFY, NIFTY])
        written = await record(spec, path, seconds=0.6)
        with pytest.raises(RecordingError, match=r"cannot write .*exists"):
            await record(spec, path, seconds=0.1)
    recorded = list(read_recording(path))
    assert len(recorded) == written > 2
    assert [each.received_at_us for each in recorded] == sorted(each.received_at_us for each in recorded)
    assert all(set(read_frame(each.frame)) <= {INFY, NIFTY} for each in recorded)
    settings = replace(QUIET, replay=replaying(path, speed=5))
    async with simulator(settings) as running, ticker(running) as client:
        await client.send("mode", ["full", [INFY, NIFTY]])
        await has_ended(running)
        frames = [item for item in await client.frames_within(0.5) if len(item) > 1]
    assert frames[-written:] == [each.frame for each in recorded]


async def test_a_refused_recorder_says_so_without_the_token(tmp_path: Path) -> None:
    """403 ends it immediately."""
    async with simulator(QUIET) as running:
        spec = Ticker(ws_url=running.ws_url, api_key="simkey", access_token="dead", tokens=[INFY])
        with pytest.raises(RecordingError, match="HTTP 403") as refused:
            await record(spec, tmp_path / "file", seconds=5)
    assert "dead" not in str(refused.value)


async def test_the_program_records_and_replays(tmp_path: Path) -> None:
    """`record` with the token from the environment, then `--replay`; without a token the error names it."""
    path = tmp_path / "session.frames"
    async with simulator(LIVELY) as running:
        arguments = ("record", str(path), "--token", str(INFY), "--ws-url", running.ws_url, "--seconds", "0.5")
        done = await run_program(*arguments, environment={"KITE_ACCESS_TOKEN": "simtoken"})
        refused = await run_program(*arguments, environment={"KITE_ACCESS_TOKEN": ""})
    frames = len(list(read_recording(path)))
    assert done == (0, f"recorded {frames} frames to {path}\n", "")
    needs = "simulator: an access token is needed: KITE_ACCESS_TOKEN or --access-token\n"
    assert refused == (2, "", needs)
    (tmp_path / "other").write_bytes(b"hello")
    code, _, complaint = await run_program("--port", "0", "--replay", str(tmp_path / "other"), environment={})
    reason = "not a recording (it does not start with 'KITEFRAMES 1')"
    assert (code, complaint) == (1, f"simulator: {tmp_path / 'other'}: {reason}\n")


async def run_program(*arguments: str, environment: dict[str, str]) -> tuple[int | None, str, str]:
    """Exit code and both outputs of `python -m simulator`."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator", *arguments, env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, err = await program.communicate()
    return program.returncode, out.decode(), err.decode()
