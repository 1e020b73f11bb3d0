"""Run as a program: one session of the official ticker, as Twisted's reactor starts only once in a process.

Usage: `python -m tests.conformance.ticker_session WS_URL REST_URL`; prints one JSON object with what was seen.
"""

import json
import sys
import threading
from typing import Any

TOKENS = {"ltp": 408065, "quote": 738561, "full": 256265}
DEADLINE_S = 15.0


def run(ws_url: str, rest_url: str) -> dict[str, Any]:
    """Subscribes in three modes, places an order once ticks flow, and closes after the order update."""
    from kiteconnect import KiteConnect, KiteTicker  # noqa: PLC0415 - importing it installs a reactor

    seen: dict[str, Any] = {"modes": {}, "order": None, "errors": [], "ticks": 0}
    ticker = KiteTicker("simkey", "simtoken", root=ws_url)
    kite = KiteConnect("simkey", "simtoken", root=rest_url)

    def on_connect(ws: Any, _response: Any) -> None:
        ws.subscribe(list(TOKENS.values()))
        for mode, token in TOKENS.items():
            ws.set_mode(mode, [token])

    def on_ticks(_ws: Any, ticks: list[dict[str, Any]]) -> None:
        for tick in ticks:
            seen["ticks"] += 1
            seen["modes"][str(tick["instrument_token"])] = tick["mode"]
        if len(seen["modes"]) == len(TOKENS) and not seen.get("placed"):
            seen["placed"] = True
            threading.Thread(target=place, daemon=True).start()

    def place() -> None:
        kite.place_order("regular", "NSE", "INFY", "BUY", 1, "MIS", "LIMIT", price=1500, tag="TICKER")

    def on_order_update(ws: Any, data: dict[str, Any]) -> None:
        seen["order"] = data
        ws.stop_retry()
        ws.close(1000, "done")

    ticker.on_connect = on_connect
    ticker.on_ticks = on_ticks
    ticker.on_order_update = on_order_update
    ticker.on_close = lambda ws, code, _reason: (seen.update(closed=code), ws.stop())
    ticker.on_error = lambda _ws, code, reason: seen["errors"].append([code, str(reason)])
    deadline = threading.Timer(DEADLINE_S, ticker.stop)
    deadline.daemon = True
    deadline.start()
    ticker.connect()
    return seen


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2])))  # noqa: T201 - the answer to the test that started it
