"""The instruments dump."""

import csv
import io
from datetime import date
from decimal import Decimal

from simulator.market.csv_dump import dump_instruments
from simulator.market.instrument import Instrument, Segment

OPTION = Instrument(
    exchange="CDS",
    tradingsymbol="USDINR26JUL87.5CE",
    name="USDINR",
    exchange_token=4321,
    segment_id=Segment.CDS,
    segment="CDS-OPT",
    instrument_type="CE",
    underlying="USDINR",
    tick_size=Decimal("0.0025"),
    lot_size=1,
    expiry=date(2026, 7, 31),
    strike=Decimal("87.50"),
)
SHARE = Instrument(
    exchange="NSE",
    tradingsymbol="M&M",
    name='MAHINDRA, "M" & M',
    exchange_token=2031,
    segment_id=Segment.NSE,
    segment="NSE",
    instrument_type="EQ",
    underlying="M&M",
    tick_size=Decimal("0.05"),
    lot_size=1,
)
HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)


def test_dump_has_kites_header_line_ends_and_number_forms() -> None:
    """CRLF everywhere, expiry empty and strike 0 where there is none, names quoted when they must be."""
    lines = dump_instruments([OPTION, SHARE]).decode().split("\r\n")
    assert lines == [
        HEADER,
        "1106179,4321,USDINR26JUL87.5CE,USDINR,0,2026-07-31,87.5,0.0025,1,CE,CDS-OPT,CDS",
        '519937,2031,M&M,"MAHINDRA, ""M"" & M",0,,0,0.05,1,EQ,NSE,NSE',
        "",
    ]


def test_dump_reads_back_as_csv() -> None:
    """A CSV reader finds twelve columns and the original name."""
    rows = list(csv.DictReader(io.StringIO(dump_instruments([SHARE]).decode())))
    assert [len(row) for row in rows] == [12]
    assert rows[0]["name"] == SHARE.name
