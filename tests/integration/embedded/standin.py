"""Stand-ins for simulator, service and migrations, for tests of what `make run` does around them.

`standin.py migrate`, `standin.py simulator PORT`, `standin.py service`: the latter two serve just enough HTTP to be
healthy, and append a line to LOG_DIR/ends when they get the signal to stop. The file LOG_DIR/script changes a start:
`migrate-fails`, `service-ends`, `service-hangs` (it ignores the signal).
"""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType

NAMES = {"NSE:INFY": 408065, "NSE:SBIN": 779521}
LOGS = Path(os.environ["LOG_DIR"])


class Handler(BaseHTTPRequestHandler):
    """An answer for each path, as in the service's API."""

    def do_GET(self) -> None:
        records = [
            {"exchange": "NSE", "tradingsymbol": name.partition(":")[2], "instrument_token": token}
            for name, token in NAMES.items()
        ]
        answers: dict[str, object] = {
            "/health": {"status": "ok"},
            "/_sim/stats": {},
            "/subscriptions": {"data": records, "next_cursor": None},
            "/quotes": {name: {"last_price": 1500.25} for name in NAMES},
        }
        self._answer(answers[self.path.partition("?")[0]])

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"results": []})

    def _answer(self, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main(name: str, *arguments: str) -> None:
    """Runs as the named program."""
    script = (LOGS / "script").read_text() if (LOGS / "script").exists() else ""
    if name == "migrate":
        sys.exit("relation cannot be made" if script == "migrate-fails" else 0)

    def end(number: int, _frame: FrameType | None) -> None:
        with (LOGS / "ends").open("a") as ends:
            ends.write(f"{name}\n")
        if script != f"{name}-hangs":
            os._exit(0)

    signal.signal(signal.SIGTERM, end)
    port = int(arguments[0] if arguments else os.environ["PORT"])
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if script == f"{name}-ends":
        signal.signal(signal.SIGALRM, lambda *_: os._exit(7))
        signal.setitimer(signal.ITIMER_REAL, 1.0)
    while True:
        server.handle_request()
        time.sleep(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
