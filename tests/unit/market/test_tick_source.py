"""Nothing but the real thing is called live."""

from __future__ import annotations

import pytest

from app.market.ticks.tick_source import tick_source


@pytest.mark.parametrize(
    ("rest_url", "ws_url", "source"),
    [
        ("https://api.kite.trade", "wss://ws.kite.trade", "live"),
        ("https://api.kite.trade", "ws://127.0.0.1:9100", "simulator"),  # the ticks decide as well
        ("http://127.0.0.1:9100", "wss://ws.kite.trade", "simulator"),
        ("http://127.0.0.1/api.kite.trade", "wss://ws.kite.trade", "simulator"),
        ("https://api.kite.trade@127.0.0.1", "wss://ws.kite.trade", "simulator"),
        ("https://sandbox.kite.trade", "wss://ws-sandbox.kite.trade", "simulator"),
        ("http://api.kite.trade", "wss://ws.kite.trade", "simulator"),  # without TLS it may be any host
    ],
)
def test_source(rest_url: str, ws_url: str, source: str) -> None:
    """Both hosts must be Zerodha's production hosts."""
    assert tick_source(rest_url=rest_url, ws_url=ws_url) == source
