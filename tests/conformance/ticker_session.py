"""Run as a program: one session of the official ticker, as Twisted's reactor starts only once in a process.

Usage: `python -m tests.conformance.ticker_session WS_URL REST_URL`; prints one JSON object with what was seen.
"""

import json
import sys
import threading
from typing import Any

import httpx

TOKENS = {"ltp": 408065, "quote": 738561, "full": 256265}
WANTED = {str(token): mode for mode, token in TOKENS.items()}
DEADLINE_S = 20.0


class Session:
    """Three modes, an order when ticks arrive, a connection that is lost after its update, and the modes again."""

    def __init__(self, ticker: Any, *, rest_url: str) -> None:
        self.seen: dict[str, Any] = {"modes": {}, "modes_after": {}, "order": None, "connects": 0, "closed": []}
        self._rest_url = rest_url
        self._ordered = False
        ticker.on_connect = self._on_connect
        ticker.on_ticks = self._on_ticks
        ticker.on_order_update = self._on_order_update
        ticker.on_close = self._on_close

    def _on_connect(self, ws: Any, _response: Any) -> None:
        self.seen["connects"] += 1
        if self.seen["connects"] > 1:
            return  # the client subscribes again by itself
        ws.subscribe(list(TOKENS.values()))
        for mode, token in TOKENS.items():
            ws.set_mode(mode, [token])

    def _on_ticks(self, ws: Any, ticks: list[dict[str, Any]]) -> None:
        modes = self.seen["modes"] if self.seen["connects"] == 1 else self.seen["modes_after"]
        modes.update((str(tick["instrument_token"]), tick["mode"]) for tick in ticks)
        if modes != WANTED:
            return
        if self.seen["connects"] > 1:
            ws.stop_retry()
            ws.close(1000, "done")
        elif not self._ordered:
            self._ordered = True
            threading.Thread(target=place_order, args=(self._rest_url,), daemon=True).start()

    def _on_order_update(self, _ws: Any, data: dict[str, Any]) -> None:
        self.seen["order"] = data
        threading.Thread(target=cut_connection, args=(self._rest_url,), daemon=True).start()

    def _on_close(self, ws: Any, code: int, _reason: str) -> None:
        self.seen["closed"].append(code)
        if self.seen["connects"] > 1:
            ws.stop()


def place_order(rest_url: str) -> None:
    from kiteconnect import KiteConnect  # noqa: PLC0415 - importing it installs a reactor

    kite = KiteConnect("simkey", "simtoken", root=rest_url)
    kite.place_order("regular", "NSE", "INFY", "BUY", 1, "MIS", "LIMIT", price=1500, tag="TICKER")


def cut_connection(rest_url: str) -> None:
    """Ends the connection without a close frame, at the socket's next frame."""
    fault = {"kind": "ws_close", "params": {"code": 1006}}
    httpx.post(f"{rest_url}/_sim/faults", json=fault).raise_for_status()


def run(ws_url: str, rest_url: str) -> dict[str, Any]:
    from kiteconnect import KiteTicker  # noqa: PLC0415

    ticker = KiteTicker("simkey", "simtoken", root=ws_url)
    session = Session(ticker, rest_url=rest_url)
    deadline = threading.Timer(DEADLINE_S, ticker.stop)
    deadline.daemon = True
    deadline.start()
    ticker.connect()
    return session.seen


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2])))  # noqa: T201 - the answer to the test that started it
