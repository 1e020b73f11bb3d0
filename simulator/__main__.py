"""`python -m simulator`: a broker on localhost until Ctrl-C. It prints its addresses and keys.

`python -m simulator record` records the frames of a ticker into a file for `--replay`.
"""

import asyncio
import sys
import time
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from simulator.clock import IST
from simulator.exchange.orders.ids import SEED_SPAN
from simulator.market.sessions import SessionMode
from simulator.market.universe import UniverseSize
from simulator.recorder import RecordingError, Ticker, record
from simulator.replay import BadRecordingError
from simulator.server import PortTakenError, RunningSimulator, serve
from simulator.settings import (
    DEFAULT_PORT,
    DEFAULT_REDIRECT_URL,
    AutosliceAnswer,
    RateLimits,
    Repeat,
    ReplaySettings,
    SimulatorSettings,
    Switch,
)
from simulator.state.journal import JournalError
from simulator.state.persistence import stored_seed
from simulator.stream.packets import Mode

commands = typer.Typer(add_completion=False, help="The broker simulator: a Kite Connect on localhost.")


@commands.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    accounts: Annotated[int, typer.Option(help="Number of accounts: SIM001, SIM002, ...")] = 1,
    sessions: Annotated[SessionMode, typer.Option(help="`always` open, or the exchange's `calendar`.")] = "always",
    universe: Annotated[UniverseSize, typer.Option(help="About 6,000 instruments, or more than 36,000.")] = "small",
    seed: Annotated[
        int | None, typer.Option(help="Repeats prices and ids. Omitted: a new one, so that ids never repeat.")
    ] = None,
    ticks_per_second: Annotated[float, typer.Option(help="Quote changes over the subscribed instruments.")] = 500.0,
    cash: Annotated[str, typer.Option(help="Rupees of each account in each segment.")] = "10000000",
    postback_url: Annotated[str | None, typer.Option(help="Where account 1's order updates are posted.")] = None,
    redirect_url: Annotated[str, typer.Option(help="Where a login sends the browser.")] = DEFAULT_REDIRECT_URL,
    rate_limits: Annotated[Switch, typer.Option(help="Enforce Kite's request limits.")] = "on",
    start_time: Annotated[str | None, typer.Option(help="Start the clock here (ISO 8601, IST).")] = None,
    speed: Annotated[float, typer.Option(help="Simulated seconds in a real second.")] = 1.0,
    state_dir: Annotated[Path | None, typer.Option(help="Save orders, positions and ledger here.")] = None,
    autoslice_answer: Annotated[AutosliceAnswer, typer.Option(help="Kite's newer or its documented shape.")] = "object",
    replay: Annotated[Path | None, typer.Option(help="Send a recording instead of simulated prices.")] = None,
    replay_speed: Annotated[float, typer.Option(help="Recorded seconds in a real second.")] = 1.0,
    replay_repeat: Annotated[Repeat, typer.Option(help="`once`, or in a `loop`.")] = "once",
) -> None:
    """Run the broker simulator."""
    if context.invoked_subcommand is not None:
        return
    try:
        settings = SimulatorSettings(
            host=host,
            port=port,
            accounts=accounts,
            sessions=sessions,
            universe=universe,
            seed=choose_seed(seed, state_dir),
            ticks_per_second=ticks_per_second,
            opening_cash=parse_cash(cash),
            postback_url=postback_url,
            redirect_url=redirect_url,
            rate_limits=RateLimits(enforced=rate_limits),
            start_time=None if start_time is None else parse_start(start_time),
            clock_speed=speed,
            state_dir=state_dir,
            autoslice_answer=autoslice_answer,
            replay=None if replay is None else ReplaySettings(replay, speed=replay_speed, repeat=replay_repeat),
        )
    except ValueError as error:
        fail(f"simulator: {error}", code=2)
    except JournalError as error:
        fail(f"simulator: {error}", code=1)
    try:
        uvloop.run(serve(settings, announce=announce))
    except (PortTakenError, BadRecordingError, JournalError) as error:
        fail(f"simulator: {error}", code=1)


@commands.command("record")
def record_ticker(
    file: Annotated[Path, typer.Argument(help="The recording to write; it must not exist.")],
    token: Annotated[list[int], typer.Option(help="An instrument token; repeat the option for several.")],
    ws_url: Annotated[str, typer.Option(help="The ticker, without a query.")] = f"ws://127.0.0.1:{DEFAULT_PORT}",
    api_key: Annotated[str, typer.Option(envvar="KITE_API_KEY")] = "simkey",
    access_token: Annotated[str, typer.Option(envvar="KITE_ACCESS_TOKEN", help="Better set in the environment.")] = "",
    mode: Annotated[Mode, typer.Option(help="What to subscribe to.")] = "full",
    seconds: Annotated[float | None, typer.Option(help="Stop after so many seconds; without it, at Ctrl-C.")] = None,
) -> None:
    """Record a ticker's frames for `--replay`."""
    if not access_token:
        fail("simulator: an access token is needed: KITE_ACCESS_TOKEN or --access-token", code=2)
    ticker = Ticker(ws_url=ws_url, api_key=api_key, access_token=access_token, tokens=token, mode=mode)
    try:
        frames = asyncio.run(record(ticker, file, seconds=seconds))
    except RecordingError as error:
        fail(f"simulator: {error}", code=1)
    except KeyboardInterrupt:
        print(f"recorded to {file}")
    else:
        print(f"recorded {frames} frames to {file}")


def choose_seed(seed: int | None, state_dir: Path | None) -> int:
    """The given seed, or the one of the state directory, or a new one. Raises JournalError."""
    if seed is not None:
        return seed
    stored = None if state_dir is None else stored_seed(state_dir)
    return int(time.time()) % SEED_SPAN if stored is None else stored


def parse_cash(text: str) -> Decimal:
    """Rupees. Raises ValueError."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"cash wants a number of rupees, got {text!r}") from None


def parse_start(text: str) -> datetime:
    """An aware time, in IST without an offset. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"start_time wants an ISO 8601 time, got {text!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=IST)


def fail(line: str, *, code: int) -> None:
    """Prints one line to stderr and exits."""
    print(line, file=sys.stderr)
    raise typer.Exit(code)


def announce(running: RunningSimulator) -> None:
    """Prints what a client needs: addresses, keys and tokens."""
    simulator = running.simulator
    lines = [f"Kite Connect simulator at {running.url} (WebSocket {running.ws_url}), seed {simulator.settings.seed}"]
    lines += [
        f"  {account.user_id}: api_key {account.api_key}, api_secret {account.api_secret}, "
        f"access_token {account.preset_token}"
        for account in simulator.accounts
    ]
    lines.append(f"  login:   {running.url}/connect/login?v=3&api_key=simkey")
    if simulator.settings.replay is not None:
        lines.append(f"  replays {simulator.settings.replay.file} from the first subscription on")
    lines.append(f"  page:    {running.url}/_sim/")
    lines.append(f"  control: {running.url}/_sim/ledger /_sim/stats /_sim/faults /_sim/market /_sim/clock")
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    commands()
