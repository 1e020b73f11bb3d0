"""What a newcomer reads once everything runs: where it is, and commands that work when pasted."""

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from embedded.seed import Seeded

LEGS = ("NSE:INFY", "NSE:SBIN")
# Above the last price, so that a LIMIT buy meets the market; whole rupees, which are a multiple of every tick size.
ABOVE_MARKET = 1.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`python` and `data_dir` are as a shell in the reader's directory takes them; `prices` are by name of a leg."""

    url: str
    api_key: str
    simulator_url: str
    redis_url: str
    python: str
    data_dir: str
    data_dir_is_default: bool
    seeded: Seeded
    prices: Mapping[str, float]


def render_banner(facts: Facts) -> str:
    """The whole text. A command that needs a price nobody knows is left out."""
    python = facts.python if facts.data_dir_is_default else f"DATA_DIR={facts.data_dir} {facts.python}"
    watch = f"{python} -m embedded.watch"
    name = next(iter(facts.seeded.tokens), None)
    channel = f"ticker:ticks:{facts.seeded.tokens[name]}" if name else "ticker:ticks:{instrument_token}"
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
    return "\n".join([*lines, ""])


def render_batch_order(facts: Facts) -> list[str]:
    """The curl command, one line an option. A new key each time it is pasted, so that each time is an order."""
    body = json.dumps({"orders": [build_leg(leg, last_price=facts.prices[leg]) for leg in LEGS]})
    return [
        f"curl -s -X POST {facts.url}/advanced/batch-orders \\",
        f"    -H {shlex.quote('X-API-Key: ' + facts.api_key)} -H 'Content-Type: application/json' \\",
        '    -H "Idempotency-Key: try-$(date +%Y%m%d-%H%M%S)" \\',
        f"    -d {shlex.quote(body)}",
    ]


def build_leg(name: str, *, last_price: float) -> dict[str, object]:
    """One LIMIT buy of `EXCHANGE:TRADINGSYMBOL` in Kite's fields, priced to be filled."""
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
