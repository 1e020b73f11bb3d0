"""Where ticks come from, as the addresses prove it: only Zerodha's own hosts are called live. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from app.broker.ticks import Source

_LIVE_REST = "api.kite.trade"
_LIVE_WS = "ws.kite.trade"


def tick_source(*, rest_url: str, ws_url: str) -> Source:
    """``live`` only when both addresses are Zerodha's production hosts over TLS; anything else is a simulator."""
    rest, stream = urlsplit(rest_url), urlsplit(ws_url)
    is_live = (rest.scheme, rest.hostname) == ("https", _LIVE_REST) and (stream.scheme, stream.hostname) == (
        "wss",
        _LIVE_WS,
    )
    return "live" if is_live else "simulator"
