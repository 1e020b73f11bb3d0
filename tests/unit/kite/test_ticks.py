"""The binary ticker frames: vectors, malformed frames, and the official client's own parser as the other reading."""

from __future__ import annotations

import base64
import json
import struct
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiteconnect import KiteTicker

from app.broker.ticks import Tick
from app.kit.clock import IST
from app.kite.wire.ticks import cut_frame, decode_packet
from tests.unit.kite.fixtures import official_fixture

V1 = bytes.fromhex("0004890331c6ff08")
V2 = bytes.fromhex("00048506000cbe35")
V3 = bytes.fromhex("0003e909002567870025896a00253b4500254ec80025625000000537")
V4 = V3 + bytes.fromhex("686b65e4")
V5 = bytes.fromhex("037b7e0700076818000000010007675a00000445000000780000004b00076a700007707e000762d200076a0c")
V6 = bytes.fromhex(
    "00cfbb02002562690000004b00255e720002cce500064b54000615b700253b400025932400251818002550bc686b65e3001314150013db02"
    "00124ad0686b65e40000004b0025621e0001000000000096002561ec00020000000000e1002561ba000300000000012c0025618800040000"
    "000001770025615600050000000001c200256282000600000000020d002562b40007000000000258002562e600080000000002a300256318"
    "00090000000002ee0025634a000a0000"
)
LENGTHS = (8, 28, 32, 44, 184)


def frame_of(*packets: bytes) -> bytes:
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets)


def decoded(packet: bytes) -> Tick:
    tick = decode_packet(packet)
    assert tick is not None
    return tick


def as_json(packet: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(msgspec.json.encode(decoded(packet)))
    return parsed


def ist_epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp())


class TestVectors:
    def test_ltp_of_a_currency_has_seven_decimals(self) -> None:
        """V1: CDS prices are divided by 1e7."""
        tick = decoded(V1)
        assert (tick.instrument_token, tick.mode, tick.tradable, tick.last_price) == (297219, "ltp", True, 83.5125)

    def test_ltp_of_bcd_has_four_decimals(self) -> None:
        """V2: BCD prices are divided by 1e4, as the official clients do."""
        assert decoded(V2).last_price == 83.5125

    @pytest.mark.parametrize("segment", [1, 2, 4, 5, 7, 8, 9, 10, 11, 13])
    def test_prices_of_every_other_segment_have_two_decimals(self, segment: int) -> None:
        """The official clients know three divisors."""
        assert decoded(struct.pack(">II", 1000 << 8 | segment, 83125)).last_price == 831.25

    @pytest.mark.parametrize(
        ("token", "units", "price"),
        [
            (31132428, 3782000, 378.2),
            (31188748, 2916000, 291.6),
            (31503116, 268500000, 26850.0),
            (33539084, 84940000, 8494.0),
        ],
        ids=["aluminium", "natural gas", "silver", "crude oil"],
    )
    def test_prices_of_nco_have_four_decimals(self, token: int, units: int, price: float) -> None:
        """Raw prices that Zerodha published of contracts on NCO, in every layout that has a price."""
        assert decoded(struct.pack(">II", token, units)).last_price == price
        quote = decoded(struct.pack(">11I", token, units, 1, units, 0, 0, 0, units, units, units, units))
        assert quote.average_traded_price == price
        assert msgspec.to_builtins(quote.ohlc) == dict.fromkeys(("open", "high", "low", "close"), price)
        full = as_json(struct.pack(">II", token, units) + bytes(56) + struct.pack(">IIHH", 5, units, 1, 0) * 10)
        assert {item["price"] for side in full["depth"].values() for item in side} == {price}

    def test_index_quote_orders_high_low_open_close(self) -> None:
        """V3: the 28-byte layout, not tradable, change in percent of the previous close."""
        tick = decoded(V3)
        assert (tick.instrument_token, tick.mode, tick.tradable, tick.last_price) == (256265, "quote", False, 24513.35)
        assert msgspec.to_builtins(tick.ohlc) == {"open": 24450.0, "high": 24600.1, "low": 24400.05, "close": 24500.0}
        assert tick.change == pytest.approx(0.05448979591836141, abs=1e-12)

    def test_index_full_adds_the_exchange_time(self) -> None:
        """V4: epoch seconds, UTC."""
        assert decoded(V4).exchange_timestamp == ist_epoch("2025-07-07 11:45:00")

    def test_quote_of_a_commodity(self) -> None:
        """V5: every field of the 44-byte layout."""
        tick = decoded(V5)
        assert (tick.instrument_token, tick.mode, tick.last_price) == (58424839, "quote", 4854.0)
        assert (tick.last_traded_quantity, tick.average_traded_price, tick.volume_traded) == (1, 4852.1, 1093)
        assert (tick.total_buy_quantity, tick.total_sell_quantity) == (120, 75)
        assert msgspec.to_builtins(tick.ohlc) == {"open": 4860.0, "high": 4875.5, "low": 4840.5, "close": 4859.0}

    def test_full_of_an_option(self) -> None:
        """V6: every field of the 184-byte layout, five levels a side."""
        tick = as_json(V6)
        assert (tick["instrument_token"], tick["mode"], tick["last_price"]) == (13613826, "full", 24500.25)
        assert (tick["volume_traded"], tick["total_buy_quantity"], tick["total_sell_quantity"]) == (
            183525,
            412500,
            398775,
        )
        assert tick["last_trade_time"] == ist_epoch("2025-07-07 11:44:59")
        assert tick["exchange_timestamp"] == ist_epoch("2025-07-07 11:45:00")
        assert (tick["oi"], tick["oi_day_high"], tick["oi_day_low"]) == (1250325, 1301250, 1198800)
        assert tick["depth"]["buy"] == [
            {"quantity": 75 * (i + 1), "price": 24499.5 - 0.5 * i, "orders": i + 1} for i in range(5)
        ]
        assert tick["depth"]["sell"] == [
            {"quantity": 450 + 75 * i, "price": 24500.5 + 0.5 * i, "orders": 6 + i} for i in range(5)
        ]

    def test_framed_message_of_three(self) -> None:
        """V7: mixed lengths in one frame come out in order."""
        assert cut_frame(frame_of(V1, V3, V5)) == [V1, V3, V5]

    def test_equal_lengths_come_out_in_order(self) -> None:
        """The fast path for frames of one packet length gives the same as the general one."""
        packets = [struct.pack(">II", number, number) for number in range(300)]
        assert cut_frame(frame_of(*packets)) == packets


class TestAbsentFields:
    def test_fields_of_other_modes_are_absent_from_json(self) -> None:
        """An ltp tick has no zero volume, no empty depth: the keys are not there."""
        assert set(as_json(V1)) == {
            "instrument_token", "mode", "tradable", "last_price", "v", "account_id", "seq", "received_at", "source",
        }  # fmt: skip

    @pytest.mark.parametrize("packet", [V3 + bytes(4), V6[:60] + bytes(4) + V6[64:]])
    def test_zero_time_is_null(self, packet: bytes) -> None:
        """A raw 0 means "never", not 1970."""
        assert decoded(packet).exchange_timestamp is None

    def test_no_previous_close_means_no_change(self) -> None:
        """Division by a zero close is answered with 0."""
        assert decoded(V5[:40] + bytes(4)).change == 0.0


MALFORMED = {
    "empty": b"",
    "one byte": b"\x00",
    "count larger than data": struct.pack(">H", 3) + frame_of(V1)[2:],
    "truncated last packet": frame_of(V1, V3)[:-1],
    "count zero with trailing bytes": b"\x00\x00\x00",
    "trailing byte": frame_of(V1, V1) + b"\x00",
    "equal strides but a wrong length field": frame_of(V1, V1)[:12] + b"\x00\x09" + V1,
    "half a length field": frame_of(V1)[:2] + b"\x00",
}


class TestMalformed:
    @pytest.mark.parametrize("frame", MALFORMED.values(), ids=list(MALFORMED))
    def test_frame_that_does_not_add_up_is_none(self, frame: bytes) -> None:
        """Counts and lengths fill the frame exactly, or nothing of it is used."""
        assert cut_frame(frame) is None

    @pytest.mark.parametrize("short", [b"", V1[:4], V1[:7]])
    @pytest.mark.parametrize("place", [0, 1, 3])
    def test_a_short_packet_does_not_spoil_the_others(self, short: bytes, place: int) -> None:
        """Its length is right, so what follows is where it says; it is no tick itself."""
        packets = [V1, V3, V5]
        packets.insert(place, short)
        assert cut_frame(frame_of(*packets)) == packets
        assert decode_packet(short) is None

    def test_frame_without_packets_is_well_formed(self) -> None:
        """``0000`` announces nothing and is nothing."""
        assert cut_frame(b"\x00\x00") == []

    @pytest.mark.parametrize("size", [0, 1, 7, 9, 27, 45, 183, 185])
    def test_packet_of_unknown_length_is_none(self, size: int) -> None:
        """A packet's kind is its length; other lengths have no meaning."""
        assert decode_packet(bytes(size)) is None

    def test_all_ones_is_a_tick(self) -> None:
        """The largest values fit: unsigned throughout."""
        tick = decoded(b"\xff" * 184)
        assert (tick.instrument_token, tick.volume_traded) == (0xFFFFFFFF, 0xFFFFFFFF)

    @given(st.binary(max_size=400))
    def test_arbitrary_bytes_never_raise(self, frame: bytes) -> None:
        """Whatever a socket delivers, cutting and decoding only ever say None."""
        for packet in cut_frame(frame) or []:
            decode_packet(packet)

    @given(st.lists(st.binary(max_size=200), max_size=12))
    def test_cutting_undoes_framing(self, packets: list[bytes]) -> None:
        """Every list of packets survives the container."""
        assert cut_frame(frame_of(*packets)) == packets


def official_parser() -> KiteTicker:
    ticker: KiteTicker = KiteTicker.__new__(
        KiteTicker
    )  # its constructor starts Twisted; the parser needs nothing of it
    return ticker


def official_reading(tick: dict[str, Any]) -> dict[str, Any]:
    """The official tick with its naive local datetimes as epoch seconds, and 1970 as the null it stands for."""
    epochs: dict[str, Any] = {
        name: int(tick[name].timestamp()) or None for name in ("last_trade_time", "exchange_timestamp") if name in tick
    }
    return {**tick, **epochs}


OURS_ALONE = ("v", "account_id", "seq", "received_at", "source")
segments = st.integers(0, 255) | st.sampled_from([3, 6, 9, 12])  # all, and often those with a divisor of their own
tokens = st.builds(lambda exchange_token, segment: exchange_token << 8 | segment, st.integers(0, 2**24 - 1), segments)


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    body = draw(st.sampled_from(LENGTHS)) - 4
    return struct.pack(">I", draw(tokens)) + draw(st.binary(min_size=body, max_size=body))


@given(st.lists(packets(), min_size=1, max_size=5))
def test_every_valid_frame_is_read_as_by_the_official_client(valid: list[bytes]) -> None:
    """All lengths, all segments, arbitrary values: field by field equal to KiteTicker."""
    frame = frame_of(*valid)
    ours = [as_json(packet) for packet in cut_frame(frame) or []]
    theirs = [official_reading(tick) for tick in official_parser()._parse_binary(frame)]  # noqa: SLF001 - the official parser
    assert [{name: tick[name] for name in tick if name not in OURS_ALONE} for tick in ours] == theirs


class TestOfficialFixtures:
    def test_quote_packet(self) -> None:
        """The recorded 44-byte packet agrees with its JSON twin in every wire field."""
        tick = decoded(base64.b64decode(official_fixture("ticker_quote.packet")))
        twin = json.loads(official_fixture("ticker_quote.json"))
        assert (tick.instrument_token, tick.last_price) == (twin["instrument_token"], twin["last_price"])
        assert (tick.last_traded_quantity, tick.average_traded_price) == (twin["last_quantity"], twin["average_price"])
        assert (tick.volume_traded, tick.total_buy_quantity) == (twin["volume"], twin["buy_quantity"])
        assert tick.total_sell_quantity == twin["sell_quantity"]
        assert msgspec.to_builtins(tick.ohlc) == twin["ohlc"]

    @pytest.mark.parametrize("name", ["js_ltpMode_binary.packet", "js_fullMode_binary.packet"])
    def test_recorded_frames(self, name: str) -> None:
        """Frames of the JavaScript client's tests: cut whole, decoded as the Python client does."""
        frame = official_fixture(name)
        ours = [as_json(packet) for packet in cut_frame(frame) or []]
        assert ours
        theirs = [official_reading(tick) for tick in official_parser()._parse_binary(frame)]  # noqa: SLF001 - the official parser
        assert [{key: tick[key] for key in tick if key not in OURS_ALONE} for tick in ours] == theirs
