"""Instruments, quotes, candles, margins, sessions and the ticker's text."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.broker.market import Mode
from app.errors import BrokerUnavailable
from app.kit.clock import IST
from app.kite.wire.market import (
    object_of,
    objects_of,
    parse_available_margin,
    parse_basket_total,
    parse_candles,
    parse_instruments,
    parse_quotes,
)
from app.kite.wire.session import login_checksum, login_url, parse_session
from app.kite.wire.stream import BrokerNote, OrderPush, parse_text, subscribe_messages, ticker_url, unsubscribe_messages
from tests.unit.kite.fixtures import official_fixture

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)
OPTION = "13613826,53179,NIFTY2580724400CE,NIFTY,0,2025-08-07,24400,0.05,75,CE,NFO-OPT,NFO"


class TestInstruments:
    def test_option(self) -> None:
        """Expiry is a date, strike and tick size are exact."""
        (option,) = parse_instruments(f"{HEADER}\n{OPTION}\n")
        assert (option.key, option.expiry, option.lot_size) == ("NFO:NIFTY2580724400CE", date(2025, 8, 7), 75)
        assert (option.strike, option.tick_size) == (Decimal(24400), Decimal("0.05"))

    def test_equity_without_expiry_and_strike(self) -> None:
        """Empty expiry is None, empty strike 0; quoted names may hold commas."""
        (share,) = parse_instruments(HEADER + '\n408065,1594,INFY,"INFOSYS, LTD",0,,,0.05,1,EQ,NSE,NSE')
        assert (share.expiry, share.strike, share.name) == (None, Decimal(0), "INFOSYS, LTD")

    def test_columns_are_found_by_name(self) -> None:
        """A new column at the front disturbs nothing."""
        (option,) = parse_instruments(f"new,{HEADER}\nx,{OPTION}")
        assert option.instrument_token == 13613826

    @pytest.mark.parametrize(
        ("lines", "match"),
        [
            ([], "no column instrument_token"),
            (["<html>"], "no column instrument_token"),
            ([HEADER.replace(",strike", "")], "no column strike"),
            ([HEADER, OPTION, OPTION[:40]], "line 3"),
        ],
    )
    def test_unreadable_dump_names_the_place(self, lines: list[str], match: str) -> None:
        """A truncated dump is not a smaller market."""
        with pytest.raises(BrokerUnavailable, match=match):
            parse_instruments("\n".join(lines))

    @pytest.mark.parametrize(
        ("was", "becomes"),
        [
            ("2025-08-07", "7 Aug"),
            ("2025-08-07", "0000-00-00"),
            ("2025-08-07", "29-12-2026"),
            ("2025-08-07", "2026-12-29 00:00:00"),
            ("13613826", "x"),
            ("13613826", ""),
            ("13613826", str(2**63)),
            ("13613826", "-1"),
            ("53179", ""),
            ("24400,", "nan,"),
            ("24400,", "1e-999999,"),
            ("75,", "1e12,"),
            ("NIFTY2580724400CE", ""),
            ("NIFTY2580724400CE", "NIFTY\0"),
            ("NIFTY2580724400CE", "N" * 200),
            (",NIFTY,", ",NIFTY, LTD,"),
            (",NIFTY,", ',"NIFTY,'),
            (",CE,", ",,"),
            ("NFO-OPT", ""),
            (",NFO-OPT,NFO", ",NFO-OPT,"),
        ],
    )
    def test_a_bad_row_is_left_out_and_named(self, was: str, becomes: str) -> None:
        """It does not hide the rows before and after it."""
        assert was in OPTION
        share = "408065,1594,INFY,INFOSYS,0,,,0.05,1,EQ,NSE,NSE"
        found = parse_instruments("\n".join([HEADER, OPTION, OPTION.replace(was, becomes), share, ""]))
        assert [row.key for row in found] == ["NFO:NIFTY2580724400CE", "NSE:INFY"]
        (bad,) = found.bad
        assert bad.place == "line 3"
        assert bad.reason

    @pytest.mark.parametrize("mark", ["\u2028", "\u0085", "\x1c", "\x0b"])
    def test_a_name_may_hold_what_cuts_lines_elsewhere(self, mark: str) -> None:
        """Only a line end ends a row."""
        (option,) = parse_instruments("\n".join([HEADER, OPTION.replace(",NIFTY,", f",NI{mark}FTY,")]))
        assert option.name == f"NI{mark}FTY"

    def test_official_dump(self) -> None:
        """Every row of the official NSE sample; tokens follow exchange_token * 256 + segment."""
        text = official_fixture("instruments_nse.csv").decode()
        instruments = parse_instruments(text)
        assert (len(instruments.good), instruments.bad) == (len(text.splitlines()) - 1, [])
        assert all(i.instrument_token >> 8 == i.exchange_token for i in instruments)


class TestQuotesAndCandles:
    def test_quote_keeps_kites_object(self) -> None:
        """Price exact, everything else as it came."""
        value = {"instrument_token": 408065, "last_price": 1412.95, "ohlc": {"open": 1396}}
        quotes, _ = parse_quotes({"NSE:INFY": value})
        assert (quotes["NSE:INFY"].last_price, quotes["NSE:INFY"].raw) == (Decimal("1412.95"), value)

    @pytest.mark.parametrize("data", [None, []])
    def test_unreadable_quotes(self, data: object) -> None:
        """An answer of another shape has no quotes."""
        with pytest.raises(BrokerUnavailable, match="quotes"):
            parse_quotes(data)

    @pytest.mark.parametrize("value", [None, {"instrument_token": 1}, {"instrument_token": "x", "last_price": 1}])
    def test_a_bad_quote_is_left_out_and_named(self, value: object) -> None:
        """A quote without a price is no quote, and does not hide the others."""
        quotes, bad = parse_quotes({"NSE:X": value, "NSE:INFY": {"instrument_token": 1, "last_price": 5}})
        assert list(quotes) == ["NSE:INFY"]
        assert [row.subject for row in bad] == ["NSE:X"]

    def test_official_quotes(self) -> None:
        """The official full and ltp samples are read."""
        for name in ("quote.json", "ltp.json"):
            data = json.loads(official_fixture(name))["data"]
            assert set(parse_quotes(data)[0]) == set(data)

    def test_candle_with_and_without_open_interest(self) -> None:
        """The zone has no colon; open interest is None where it was not requested."""
        row = ["2017-12-15T09:15:00+0530", 1704.5, 1705, 1699.25, 1702.8, 2499]
        plain, with_oi = parse_candles({"candles": [row, [*row, 7]]})
        assert plain.time == datetime(2017, 12, 15, 9, 15, tzinfo=IST)
        assert (plain.open, plain.volume, plain.oi, with_oi.oi) == (Decimal("1704.5"), 2499, None, 7)

    @pytest.mark.parametrize("data", [None, [], {"candles": None}, {"candles": {}}])
    def test_unreadable_candles(self, data: object) -> None:
        """An answer of another shape has no candles."""
        with pytest.raises(BrokerUnavailable, match="candles"):
            parse_candles(data)

    @pytest.mark.parametrize(
        "bad",
        [[], ["x", 1, 1, 1, 1, 1], 5, [None, 1, 1, 1, 1, 1], ["9999-12-31T23:59:59-12:00", 1, 1, 1, 1, 1],
         ["2017-12-15T09:15:00+0530", 1, 1, 1, "NaN", 1]],
    )  # fmt: skip
    def test_a_bad_candle_is_left_out_and_named(self, bad: object) -> None:
        """Neither a shape nor a time is guessed; the others are read."""
        good = ["2017-12-15T09:15:00+0530", 1, 1, 1, 1, 1]
        found = parse_candles({"candles": [good, bad, good]})
        assert (len(found.good), [row.place for row in found.bad]) == (2, ["candle 1"])

    def test_official_candles(self) -> None:
        """The official minute sample is read whole."""
        data = json.loads(official_fixture("historical_minute.json"))["data"]
        assert len(parse_candles(data).good) == len(data["candles"])


class TestMargins:
    def test_basket_is_the_final_total(self) -> None:
        """After hedges and positions, not the sum of the legs."""
        assert parse_basket_total({"initial": {"total": 9}, "final": {"total": 5.5}}) == Decimal("5.5")

    @pytest.mark.parametrize(("exchange", "expected"), [("NSE", "1.5"), ("NFO", "1.5"), ("MCX", "2.5")])
    def test_available_margin_by_segment(self, exchange: str, expected: str) -> None:
        """MCX draws on the commodity funds, all others on equity."""
        data = {"equity": {"net": 1.5}, "commodity": {"net": 2.5}}
        assert parse_available_margin(data, exchange=exchange) == Decimal(expected)

    @pytest.mark.parametrize("data", [None, {}, {"final": None}, {"final": {"total": "much"}}])
    def test_unreadable_margins(self, data: object) -> None:
        """A margin that cannot be read is never zero."""
        with pytest.raises(BrokerUnavailable, match="margins"):
            parse_basket_total(data)

    def test_official_margins(self) -> None:
        """The official funds sample has both segments."""
        data = json.loads(official_fixture("margins.json"))["data"]
        assert parse_available_margin(data, exchange="NSE") == Decimal(str(data["equity"]["net"]))

    def test_shapes_are_checked(self) -> None:
        """Read-through answers are objects or lists of objects."""
        assert object_of({"net": []}, "positions") == {"net": []}
        assert objects_of([{}], "holdings") == [{}]
        with pytest.raises(BrokerUnavailable, match="positions"):
            object_of([], "positions")
        with pytest.raises(BrokerUnavailable, match="holdings"):
            objects_of([1], "holdings")


class TestSession:
    def test_checksum_vector(self) -> None:
        """SHA-256 of api_key, request_token and api_secret joined."""
        digest = login_checksum(api_key="simkey", request_token="simreqtoken", api_secret=SecretStr("simsecret"))
        assert digest == "bcd69288b774c0fe20cf83055d80d2963ef0f3ab58b13f3a86a03b88ba9e205d"

    def test_login_url_escapes_the_redirect_parameters(self) -> None:
        """They are one value of the query."""
        url = login_url("https://kite.example/login", api_key="k", redirect_params="a=1&b=2")
        assert parse_qs(urlsplit(url).query) == {"v": ["3"], "api_key": ["k"], "redirect_params": ["a=1&b=2"]}

    def test_official_session(self) -> None:
        """User, token and an aware login time."""
        login = parse_session(json.loads(official_fixture("generate_session.json"))["data"])
        assert login.user_id
        assert login.access_token.get_secret_value()
        assert login.login_time is not None
        assert login.login_time.tzinfo is not None

    def test_a_session_that_is_no_object(self) -> None:
        """``true`` is no login."""
        with pytest.raises(BrokerUnavailable, match="session"):
            parse_session(True)

    def test_unreadable_session_never_repeats_the_token(self) -> None:
        """The error is logged; the token must not be."""
        with pytest.raises(BrokerUnavailable) as caught:
            parse_session({"access_token": "s3cret", "login_time": "s3cret"})
        assert "s3cret" not in str(caught.value)


class TestTickerText:
    def test_address_escapes_credentials(self) -> None:
        """A token with ``&`` cannot add a parameter."""
        url = ticker_url("wss://ws.kite.trade", api_key="k&a=1", access_token="t+/=")
        assert urlsplit(url).path == "/"
        assert parse_qs(urlsplit(url).query) == {"api_key": ["k&a=1"], "access_token": ["t+/="]}

    def test_subscribe_and_mode_are_always_both_sent_in_frames_of_500(self) -> None:
        """1,200 full and 3 ltp tokens: four groups, each subscribed and given its mode."""
        modes = dict.fromkeys(range(1200), Mode.FULL) | dict.fromkeys(range(2000, 2003), Mode.LTP)
        messages = [json.loads(message) for message in subscribe_messages(modes)]
        subscribed = [m["v"] for m in messages if m["a"] == "subscribe"]
        moded = [m["v"] for m in messages if m["a"] == "mode"]
        assert [len(tokens) for tokens in subscribed] == [500, 500, 200, 3]
        assert [tokens for _, tokens in moded] == subscribed
        assert [mode for mode, _ in moded] == ["full", "full", "full", "ltp"]

    def test_unsubscribe(self) -> None:
        """Plain numbers in one list."""
        assert [json.loads(m) for m in unsubscribe_messages([1, 2])] == [{"a": "unsubscribe", "v": [1, 2]}]

    @pytest.mark.parametrize(
        ("frame", "expected"),
        [
            (b'{"type":"order","data":{"order_id":"1"}}', OrderPush(payload={"order_id": "1"})),
            (b'{"type":"error","data":"too many"}', BrokerNote(kind="error", text="too many")),
            (b'{"type":"message","data":{"a":1}}', BrokerNote(kind="message", text="{'a': 1}")),
            (b'{"type":"instruments_meta","data":{}}', None),
            (b"{}", None),
        ],
    )
    def test_text_frames(self, frame: bytes, expected: object) -> None:
        """Known types become values, unknown ones nothing."""
        assert parse_text(frame) == expected

    @given(st.binary(max_size=60) | st.just(b'{"type":"order","data":[]}') | st.just(b"[" * 100_000))
    def test_bad_text_is_a_value_error(self, frame: bytes) -> None:
        """Nothing else comes out of the parser."""
        try:
            parse_text(frame)
        except ValueError:
            return
