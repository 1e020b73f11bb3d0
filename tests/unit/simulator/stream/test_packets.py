"""The encoder's bytes, compared with ticks that were encoded by hand from Kite's layout tables."""

import numpy as np
import pytest

from simulator.market.state import ORDERS_SHIFT, TICK
from simulator.stream.packets import MAX_PACKETS, Mode, Words, container, encode_batch

LTP_CDS = "0004890331c6ff08"
LTP_BCD = "00048506000cbe35"
INDEX_QUOTE = "0003e909002567870025896a00253b4500254ec80025625000000537"
INDEX_FULL = INDEX_QUOTE + "686b65e4"
QUOTE_MCX = "037b7e0700076818000000010007675a00000445000000780000004b00076a700007707e000762d200076a0c"
FULL_NFO = (
    "00cfbb02002562690000004b00255e720002cce500064b54000615b700253b400025932400251818002550bc686b65e3001314150013db02"
    "00124ad0686b65e40000004b0025621e0001000000000096002561ec00020000000000e1002561ba000300000000012c0025618800040000"
    "000001770025615600050000000001c200256282000600000000020d002562b40007000000000258002562e600080000000002a300256318"
    "00090000000002ee0025634a000a0000"
)


def row(**fields: object) -> Words:
    tick = np.zeros(1, dtype=TICK)
    for name, value in fields.items():
        tick[name] = value
    return tick.view(np.uint32).reshape(1, -1)


def index_row() -> Words:
    return row(
        token=256265, last_price=2451335, high=2460010, low=2440005, open=2445000, close=2450000, timestamp=1751868900
    )


def mcx_row() -> Words:
    prices = {"last_price": 485400, "open": 486000, "high": 487550, "low": 484050, "close": 485900}
    quantities = {"last_quantity": 1, "average_price": 485210, "volume": 1093, "buy_quantity": 120, "sell_quantity": 75}
    return row(token=58424839, **prices, **quantities)


def nfo_row() -> Words:
    prices = {"last_price": 2450025, "open": 2440000, "high": 2462500, "low": 2431000, "close": 2445500}
    quantities = {"last_quantity": 75, "volume": 183525, "buy_quantity": 412500, "sell_quantity": 398775}
    interest = {"oi": 1250325, "oi_day_high": 1301250, "oi_day_low": 1198800}
    words = row(
        token=13613826,
        average_price=2449010,
        last_trade_time=1751868899,
        timestamp=1751868900,
        **prices,
        **quantities,
        **interest,
    )
    depth = words.view(TICK)["depth"][0, 0]
    depth["quantity"] = [75 * level for level in range(1, 11)]
    depth["price"] = [2449950 - 50 * level for level in range(5)] + [2450050 + 50 * level for level in range(5)]
    depth["orders"] = [orders << ORDERS_SHIFT for orders in range(1, 11)]
    return words


@pytest.mark.parametrize(
    ("words", "mode", "kind", "expected"),
    [
        (row(token=297219, last_price=835125000), "ltp", "tradable", LTP_CDS),
        (row(token=296198, last_price=835125), "ltp", "tradable", LTP_BCD),
        (index_row(), "ltp", "index", "0003e90900256787"),
        (index_row(), "quote", "index", INDEX_QUOTE),
        (index_row(), "full", "index", INDEX_FULL),
        (mcx_row(), "quote", "tradable", QUOTE_MCX),
        (nfo_row(), "full", "tradable", FULL_NFO),
    ],
)
def test_packet_is_byte_for_byte_the_documented_layout(words: Words, mode: Mode, kind: str, expected: str) -> None:
    """Each of the five packets, preceded by its length in two bytes."""
    body = bytes.fromhex(expected)
    encoded = encode_batch(words, mode=mode, tradable=np.array([kind == "tradable"]))
    assert encoded == len(body).to_bytes(2, "big") + body


def test_container_counts_its_packets() -> None:
    """A frame of three packets of different kinds, 88 bytes."""
    packets = b"".join(
        len(body).to_bytes(2, "big") + body for body in map(bytes.fromhex, (LTP_CDS, INDEX_QUOTE, QUOTE_MCX))
    )
    frame = container(packets, count=3)
    assert frame == b"\x00\x03" + packets
    assert len(frame) == 88


def test_container_refuses_more_packets_than_its_count_can_say() -> None:
    """The count has 16 bits; one more than 65,535 is an error, not 0."""
    assert container(b"", count=MAX_PACKETS)[:2] == b"\xff\xff"
    with pytest.raises(ValueError, match="65536 packets do not fit"):
        container(b"", count=MAX_PACKETS + 1)


def test_falling_index_has_a_negative_change() -> None:
    """The change is in two's complement, so a fall is not a huge rise."""
    words = row(token=256265, last_price=2449000, close=2450000)
    encoded = encode_batch(words, mode="quote", tradable=np.array([False]))
    assert int.from_bytes(encoded[-4:], "big", signed=True) == -1000
