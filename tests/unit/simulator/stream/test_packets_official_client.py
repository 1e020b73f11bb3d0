"""The broker's Python client reads what this encoder writes: two independent implementations of the format."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kiteconnect import KiteTicker

from simulator.market.instrument import DIVISORS, Segment
from simulator.market.state import DEPTH_LEVELS, ORDERS_SHIFT, TICK
from simulator.stream.packets import Mode, container, encode_batch

U32 = st.integers(0, 2**32 - 1)
TRADABLE = st.sampled_from([segment for segment in Segment if segment is not Segment.INDICES])
WORDS = [name for name in TICK.names or () if name not in {"token", "depth"}]
OFFICIAL_NAMES = {
    "last_quantity": "last_traded_quantity",
    "volume": "volume_traded",
    "buy_quantity": "total_buy_quantity",
    "sell_quantity": "total_sell_quantity",
}


@pytest.fixture(scope="module")
def official() -> Any:
    """The official client's parser."""
    return KiteTicker("key", "token")


@st.composite
def ticks(draw: st.DrawFn, segments: st.SearchStrategy[Segment] = TRADABLE) -> Any:
    """One to four arbitrary rows with valid times."""
    count = draw(st.integers(1, 4))
    rows = np.zeros(count, dtype=TICK)
    for row in rows:
        row["token"] = draw(st.integers(1, 2**23 - 1)) * 256 + draw(segments)
        for name in WORDS:
            row[name] = draw(U32)
        row["last_trade_time"], row["timestamp"] = draw(st.integers(0, 2**31)), draw(st.integers(0, 2**31))
        for level in range(2 * DEPTH_LEVELS):
            row["depth"][level] = (draw(U32), draw(U32), draw(st.integers(0, 2**16 - 1)) << ORDERS_SHIFT)
    return rows


def parse(official: Any, rows: Any, *, mode: Mode, kind: str) -> list[dict[str, Any]]:
    words = rows.view(np.uint32).reshape(len(rows), -1)
    packets = encode_batch(words, mode=mode, tradable=np.full(len(rows), kind == "tradable"))
    parsed: list[dict[str, Any]] = official._parse_binary(container(packets, count=len(rows)))  # noqa: SLF001 - the official parser
    return parsed


def local_time(epoch: Any) -> datetime:
    """The official client's times are naive and in the host's zone."""
    return datetime.fromtimestamp(int(epoch))  # noqa: DTZ006


def price(row: Any, name: str) -> float:
    return int(row[name]) / DIVISORS[Segment(int(row["token"]) & 0xFF)]


@settings(max_examples=30, deadline=None)
@given(rows=ticks())
def test_official_client_reads_full_packets_as_written(official: Any, rows: Any) -> None:
    """Every field of the 184 bytes, for every segment and its divisor."""
    for row, tick in zip(rows, parse(official, rows, mode="full", kind="tradable"), strict=True):
        assert (tick["mode"], tick["instrument_token"], tick["tradable"]) == ("full", row["token"], True)
        assert tick["last_price"] == price(row, "last_price")
        assert tick["average_traded_price"] == price(row, "average_price")
        assert tick["ohlc"] == {name: price(row, name) for name in ("open", "high", "low", "close")}
        for name in ("last_quantity", "volume", "buy_quantity", "sell_quantity", "oi", "oi_day_high", "oi_day_low"):
            assert tick[OFFICIAL_NAMES.get(name, name)] == row[name]
        assert tick["last_trade_time"] == local_time(row["last_trade_time"])
        assert tick["exchange_timestamp"] == local_time(row["timestamp"])
        assert_same_depth(tick["depth"], row)


def assert_same_depth(depth: dict[str, list[dict[str, Any]]], row: Any) -> None:
    divisor = DIVISORS[Segment(int(row["token"]) & 0xFF)]
    for level, entry in enumerate([*depth["buy"], *depth["sell"]]):
        quantity, units, orders = row["depth"][level].tolist()
        assert entry == {"quantity": quantity, "price": units / divisor, "orders": orders >> ORDERS_SHIFT}


@settings(max_examples=30, deadline=None)
@given(rows=ticks())
def test_official_client_reads_quote_and_ltp_packets_as_written(official: Any, rows: Any) -> None:
    """The 44 and the 8 bytes."""
    for row, tick in zip(rows, parse(official, rows, mode="quote", kind="tradable"), strict=True):
        assert (tick["mode"], tick["volume_traded"]) == ("quote", row["volume"])
        assert tick["ohlc"]["close"] == price(row, "close")
    for row, tick in zip(rows, parse(official, rows, mode="ltp", kind="tradable"), strict=True):
        assert (tick["mode"], tick["last_price"]) == ("ltp", price(row, "last_price"))


@settings(max_examples=30, deadline=None)
@given(rows=ticks(st.just(Segment.INDICES)))
def test_official_client_reads_index_packets_in_their_own_order(official: Any, rows: Any) -> None:
    """High, low, open, close in 28 bytes and the exchange's time in 32; not tradable."""
    for mode in ("quote", "full"):
        for row, tick in zip(rows, parse(official, rows, mode=mode, kind="index"), strict=True):
            assert (tick["mode"], tick["tradable"]) == (mode, False)
            assert tick["ohlc"] == {name: price(row, name) for name in ("open", "high", "low", "close")}
            assert mode == "quote" or tick["exchange_timestamp"] == local_time(row["timestamp"])
