"""`python -m simulator`: a broker on localhost until Ctrl-C, with its addresses and keys printed."""

import sys
import time
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer
import uvloop

from simulator.formats import IST
from simulator.server import PortTakenError, RunningSimulator, serve
from simulator.settings import DEFAULT_PORT, DEFAULT_REDIRECT_URL, RateLimits, Sessions, SimulatorSettings, Switch

SEED_SPAN = 10**9


def main(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    accounts: Annotated[int, typer.Option(help="Number of accounts: SIM001, SIM002, ...")] = 1,
    sessions: Annotated[Sessions, typer.Option(help="`always` open, or the exchange's `calendar`.")] = "always",
    seed: Annotated[
        int | None, typer.Option(help="Repeats prices and ids. Omitted: a new one, so that ids never repeat.")
    ] = None,
    ticks_per_second: Annotated[float, typer.Option(help="Quote changes over the watched instruments.")] = 500.0,
    cash: Annotated[str, typer.Option(help="Rupees of each account in each segment.")] = "10000000",
    postback_url: Annotated[str | None, typer.Option(help="Where account 1's order updates are posted.")] = None,
    redirect_url: Annotated[str, typer.Option(help="Where a login sends the browser.")] = DEFAULT_REDIRECT_URL,
    rate_limits: Annotated[Switch, typer.Option(help="Enforce Kite's request limits.")] = "on",
    start_time: Annotated[str | None, typer.Option(help="Start the clock here (ISO 8601, IST).")] = None,
    speed: Annotated[float, typer.Option(help="Simulated seconds in a real second.")] = 1.0,
) -> None:
    """Run the broker simulator."""
    try:
        settings = SimulatorSettings(
            host=host,
            port=port,
            accounts=accounts,
            sessions=sessions,
            seed=int(time.time()) % SEED_SPAN if seed is None else seed,
            ticks_per_second=ticks_per_second,
            opening_cash=parse_cash(cash),
            postback_url=postback_url,
            redirect_url=redirect_url,
            rate_limits=RateLimits(enforced=rate_limits),
            start_time=None if start_time is None else parse_start(start_time),
            clock_speed=speed,
        )
    except ValueError as error:
        fail(f"simulator: {error}", code=2)
    try:
        uvloop.run(serve(settings, announce=announce))
    except PortTakenError as error:
        fail(f"simulator: {error}", code=1)


def parse_cash(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"cash wants a number of rupees, got {text!r}") from None


def parse_start(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"start_time wants an ISO 8601 time, got {text!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=IST)


def fail(line: str, *, code: int) -> None:
    print(line, file=sys.stderr)
    raise typer.Exit(code)


def announce(running: RunningSimulator) -> None:
    """What somebody needs to point a client here."""
    simulator = running.simulator
    lines = [f"Kite Connect simulator at {running.url} (WebSocket {running.ws_url}), seed {simulator.settings.seed}"]
    lines += [
        f"  {account.user_id}: api_key {account.api_key}, api_secret {account.api_secret}, "
        f"access_token {account.standing_token}"
        for account in simulator.accounts
    ]
    lines.append(f"  login:   {running.url}/connect/login?v=3&api_key=simkey")
    lines.append(f"  control: {running.url}/_sim/ledger /_sim/stats /_sim/faults /_sim/market /_sim/clock")
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    typer.run(main)
