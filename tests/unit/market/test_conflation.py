"""The newest packet per instrument: nothing is lost uncounted, nothing old replaces something new."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.ticks import Source, Tick
from app.kit.histogram import LagCounter
from app.market.ticks.conflation import AccountTicks, Raw
from app.market.ticks.counters import FEED_LAG_BOUNDS_S

BAD = 0xFFFF
"""A price that the decoder of these tests refuses."""

FRAMES = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9) | st.just(BAD)), max_size=6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("frame"), FRAMES),
        st.tuples(st.sampled_from(["published", "unknown", "listeners"]), st.none()),
    ),
    max_size=30,
)


def decode(packet: bytes) -> Tick | None:
    token, price = struct.unpack(">II", packet)
    return None if price == BAD else Tick(instrument_token=token, mode="ltp", tradable=True, last_price=float(price))


def account() -> AccountTicks:
    return AccountTicks(
        "primary", decode=decode, source="simulator", feed_lag=LagCounter(FEED_LAG_BOUNDS_S), wake=lambda: None
    )


def flush(ticks: AccountTicks, how: str, out: list[dict[str, Any]]) -> None:
    """As the pipeline does it: Redis answered, its answer is unknown, or only listeners are served."""
    works: list[dict[int, Raw]] = [ticks.take_fresh()]
    if how != "listeners":
        works.append(ticks.take_missed())
    for work in works:
        encoded = [json.loads(payload) for _, payload in ticks.encode(list(work.items()), names={})]
        good = {tick["instrument_token"] for tick in encoded}
        if how == "published":
            out += encoded
        else:
            ticks.keep({token: raw for token, raw in work.items() if token in good})


@given(steps=STEPS)
def test_every_packet_is_published_replaced_or_malformed_and_the_newest_wins(steps: list[tuple[str, Any]]) -> None:
    """Over any course of frames, flushes, failures and outages, once Redis is back at the end."""
    ticks, out = account(), []  # type: tuple[AccountTicks, list[dict[str, Any]]]
    newest: dict[int, int] = {}
    for at, (step, frame) in enumerate([*steps, ("published", None)]):
        if step == "frame":
            ticks.on_packets([struct.pack(">II", *packet) for packet in frame], received_at_ms=at)
            newest.update(dict(frame))
        else:
            flush(ticks, step, out)
    assert ticks.received == len(out) + ticks.conflated + ticks.malformed
    last = {tick["instrument_token"]: tick["last_price"] for tick in out}
    assert {token: price for token, price in newest.items() if price != BAD} == {
        token: price for token, price in last.items() if newest[token] != BAD
    }


@given(steps=STEPS)
def test_seq_rises_with_every_encoded_tick(steps: list[tuple[str, Any]]) -> None:
    """And receipt never goes backwards for an instrument."""
    ticks, out = account(), []  # type: tuple[AccountTicks, list[dict[str, Any]]]
    for at, (step, frame) in enumerate(steps):
        if step == "frame":
            ticks.on_packets([struct.pack(">II", *packet) for packet in frame], received_at_ms=at)
        else:
            flush(ticks, step, out)
    seqs = [tick["seq"] for tick in out]
    assert seqs == sorted(set(seqs))
    for token in {tick["instrument_token"] for tick in out}:
        received = [tick["received_at"] for tick in out if tick["instrument_token"] == token]
        assert received == sorted(received)


def test_the_lag_of_the_feed_is_counted_by_the_exchanges_time() -> None:
    """Seconds from the exchange's time to our receipt."""
    lag = LagCounter(FEED_LAG_BOUNDS_S)

    def timed(packet: bytes) -> Tick:
        token, seconds = struct.unpack(">II", packet)
        return Tick(
            instrument_token=token, mode="full", tradable=True, last_price=1.0, exchange_timestamp=seconds or None
        )

    ticks = AccountTicks("primary", decode=timed, source="simulator", feed_lag=lag, wake=lambda: None)
    ticks.on_packets([struct.pack(">II", 1, 1000), struct.pack(">II", 2, 0)], received_at_ms=1_000_400)
    ticks.encode(list(ticks.take_fresh().items()), names={})
    counted = lag.snapshot()
    assert (sum(counted.counts), round(counted.sum_s, 3)) == (1, 0.4)
    assert counted.counts[counted.bounds_s.index(0.5)] == 1


@pytest.mark.parametrize(("own", "said"), [("simulator", "replay"), ("live", "live")])
def test_a_recording_is_called_a_replay_until_the_next_socket(own: Source, said: Source) -> None:
    """In what is published and in the last value; the live address stays live whatever a text says."""
    ticks = AccountTicks(
        "primary", decode=decode, source=own, feed_lag=LagCounter(FEED_LAG_BOUNDS_S), wake=lambda: None
    )
    ticks.on_connected()
    ticks.on_replay()
    ticks.on_packets([struct.pack(">II", 1, 5)], received_at_ms=1)
    [(_, published)] = ticks.encode(list(ticks.take_fresh().items()), names={})
    last = ticks.last(1, names={})
    assert last is not None
    assert (json.loads(published)["source"], last.tick.source, ticks.source) == (said, said, said)
    ticks.on_connected()
    assert ticks.source == own
