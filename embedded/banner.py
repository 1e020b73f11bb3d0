"""What is printed when everything runs: addresses, and commands that can be pasted."""

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from embedded.first_subscriptions import FirstSubscriptions

LEGS = ("NSE:INFY", "NSE:SBIN")
# The price of a LIMIT buy, above the last one so that it is filled; whole rupees are a multiple of every tick size.
ABOVE_MARKET = 1.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the banner shows."""

    url: str
    """Of the service."""
    api_key: str
    """With which a client is authenticated."""
    simulator_url: str
    """Of the simulator's page and routes."""
    redis_url: str
    """With the password."""
    python: str
    """The interpreter, quoted for a shell in the working directory, as `data_dir` is."""
    data_dir: str
    """Where everything is stored."""
    data_dir_is_default: bool
    """Otherwise the commands must set DATA_DIR."""
    subscriptions: FirstSubscriptions
    """The instruments that tick."""
    prices: Mapping[str, float]
    """Last prices in rupees by `EXCHANGE:TRADINGSYMBOL`."""


def render_banner(facts: Facts) -> str:
    """The whole text. A command that needs an unknown price is left out."""
    python = facts.python if facts.data_dir_is_default else f"DATA_DIR={facts.data_dir} {facts.python}"
    watch = f"{python} -m embedded.watch"
    name = next(iter(facts.subscriptions.tokens), None)
    channel = f"ticker:ticks:{facts.subscriptions.tokens[name]}" if name else "ticker:ticks:{instrument_token}"
    of = f" ({name})" if name else ""
    lines = [
        "",
        "ticker-service is running; Ctrl-C stops everything, and the next start has its data.",
        "",
        f"  URL        {facts.url}",
        f"  Docs       {facts.url}/docs",
        f"  API key    {facts.api_key}",
        f"  Simulator  {facts.simulator_url}",
        f"  Redis      {facts.redis_url}",
        f"  Channel    SUBSCRIBE {channel}{of}",
        f"  Data       {facts.data_dir}   logs: {facts.data_dir}/logs",
        f"  Operators  {python} -m embedded.app orders doubts   (--help: all commands)",
        "",
        "Paste into another terminal, in this directory:",
        "",
        "  1. how it is",
        f"  curl -s {facts.url}/health",
        "",
        "  2. ticks as they arrive in Redis",
        f"  {watch} ticks",
        "",
        "  3. order events as they happen (leave it open for the next one)",
        f"  {watch} orders",
    ]
    if all(leg in facts.prices for leg in LEGS):
        lines += ["", "  4. a batch of two orders", *(f"  {line}" for line in render_batch_order(facts))]
        lines += ["", "  5. the same events as a signed webhook (before the next batch)", f"  {watch} webhooks"]
    return "\n".join([*lines, ""])


def render_batch_order(facts: Facts) -> list[str]:
    """The lines of the curl command. Each time it is pasted it has another idempotency key, and so places orders."""
    body = json.dumps({"orders": [build_leg(leg, last_price=facts.prices[leg]) for leg in LEGS]})
    return [
        f"curl -s -X POST {facts.url}/advanced/batch-orders \\",
        f"    -H {shlex.quote('X-API-Key: ' + facts.api_key)} -H 'Content-Type: application/json' \\",
        '    -H "Idempotency-Key: try-$(date +%Y%m%d-%H%M%S)" \\',
        f"    -d {shlex.quote(body)}",
    ]


def build_leg(name: str, *, last_price: float) -> dict[str, object]:
    """A LIMIT buy of `EXCHANGE:TRADINGSYMBOL` in Kite's fields, priced so that it is filled."""
    exchange, symbol = name.split(":", 1)
    return {
        "exchange": exchange,
        "tradingsymbol": symbol,
        "transaction_type": "BUY",
        "quantity": 1,
        "product": "MIS",
        "order_type": "LIMIT",
        "price": math.ceil(last_price * ABOVE_MARKET),
    }
