"""`python -m embedded.watch ticks|orders|webhooks`: prints ticks or events of the running product until Ctrl-C.

`ticks` subscribes to the Redis channels, `orders` to the order WebSocket; `webhooks` registers a webhook. All read the
addresses from DATA_DIR/run.json.
"""

import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import redis
import websockets
from websockets.sync.client import connect

from embedded.settings import DEFAULT_DATA_DIR
from embedded.stop_signals import StopRequested, stop_requested_by_signals
from embedded.webhook_receiver import follow_webhooks

IST = ZoneInfo("Asia/Kolkata")
ACCOUNT = "primary"
CHANNELS = "ticker:ticks:*"
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
PING_INTERVAL_S = 20.0
USAGE = "usage: python -m embedded.watch ticks|orders|webhooks"


def main(arguments: list[str]) -> int:
    """The exit code: 0 after a signal to stop, 1 when nothing is running, 2 for a wrong argument."""
    sources = {"ticks": follow_ticks, "orders": follow_orders, "webhooks": follow_webhooks}
    if len(arguments) != 1 or arguments[0] not in sources:
        print(USAGE, file=sys.stderr)
        return 2
    run_file = Path(os.environ.get("DATA_DIR") or DEFAULT_DATA_DIR) / "run.json"
    try:
        with stop_requested_by_signals():
            for line in sources[arguments[0]](json.loads(run_file.read_text())):
                print(line, flush=True)
    except FileNotFoundError:
        print(f"nothing is running: there is no {run_file}; 'make run' starts it", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of the output (`head`, for example) has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, redis.RedisError, websockets.WebSocketException, httpx.HTTPError) as error:
        print(f"the connection ended: {error}", file=sys.stderr)
        return 1
    except StopRequested:
        return 0
    return 0


def follow_ticks(run: dict[str, Any]) -> Iterator[str]:
    """A line for each published tick."""
    with redis.Redis.from_url(run["redis_url"]) as client, client.pubsub(ignore_subscribe_messages=True) as channels:
        channels.psubscribe(CHANNELS)
        for message in channels.listen():
            yield render_tick(json.loads(message["data"]))


def follow_orders(run: dict[str, Any]) -> Iterator[str]:
    """The messages of the order stream, unchanged."""
    address = f"{run['url'].replace('http', 'ws', 1)}/advanced/ws/orders/{ACCOUNT}"
    with connect(address, open_timeout=OPEN_TIMEOUT_S, close_timeout=CLOSE_TIMEOUT_S, proxy=None) as stream:
        stream.send(json.dumps({"type": "auth", "api_key": run["api_key"]}))
        while True:
            try:
                message = stream.recv(timeout=PING_INTERVAL_S)
            except TimeoutError:
                stream.send("ping")  # the service closes a stream after 60 s without a message
                continue
            if message != "pong":
                yield message if isinstance(message, str) else message.decode()


def render_tick(tick: dict[str, Any]) -> str:
    """`19:20:01.123  NSE:INFY  1512.35  full  simulator`, with the time at which the service received it."""
    at = datetime.fromtimestamp(tick["received_at"] / 1000, tz=IST).isoformat(timespec="milliseconds")[11:23]
    name = f"{tick.get('exchange', '')}:{tick.get('tradingsymbol', tick['instrument_token'])}"
    return f"{at}  {name:<24} {tick['last_price']:>12.2f}  {tick['mode']:<5}  {tick['source']}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
