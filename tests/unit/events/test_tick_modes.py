"""A tick in less than the mode that it came in."""

from __future__ import annotations

import json

import msgspec
import pytest

from app.broker.market import Mode
from app.broker.ticks import Depth, DepthItem, Ohlc, Tick
from app.events.tick_modes import reduce_tick

FULL = msgspec.json.encode(
    Tick(
        instrument_token=408065,
        mode="full",
        tradable=True,
        last_price=1500.05,
        exchange="NSE",
        volume_traded=10,
        ohlc=Ohlc(open=1.0, high=2.0, low=0.5, close=1.5),
        change=0.5,
        last_trade_time=1_767_584_700,
        oi=3,
        depth=Depth(buy=[DepthItem(quantity=1, price=1.0, orders=1)], sell=[]),
        account_id="primary",
        seq=4,
        received_at=1_767_584_700_123,
        source="simulator",
    )
)


@pytest.mark.parametrize(
    ("mode", "gone"),
    [
        (Mode.LTP, {"volume_traded", "ohlc", "change", "last_trade_time", "oi", "depth"}),
        (Mode.QUOTE, {"last_trade_time", "oi", "depth"}),
        (Mode.FULL, set()),
    ],
)
def test_a_mode_has_its_own_fields(mode: Mode, gone: set[str]) -> None:
    """Absent, not zero; the rest unchanged; `source` always there."""
    reduced = json.loads(reduce_tick(FULL, mode=mode))
    before = json.loads(FULL)
    assert before.keys() - reduced.keys() == gone
    assert reduced == {name: before[name] for name in reduced} | {"mode": mode}
    assert reduced["source"] == "simulator"


def test_a_tick_of_less_is_passed_on_as_it_is() -> None:
    """Its own `mode` says what it is."""
    tick = b'{"instrument_token": 1, "mode": "ltp", "last_price": 1.0}'
    assert reduce_tick(tick, mode=Mode.QUOTE) is tick
