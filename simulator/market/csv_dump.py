"""The instrument dump: a CSV line for each instrument, with CRLF and Kite's header and number forms."""

from collections.abc import Iterable

from simulator.market.instrument import Instrument

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)


def dump_instruments(instruments: Iterable[Instrument]) -> bytes:
    """The dump in UTF-8. Its last price is always 0, as it would be stale; a missing strike is 0, not empty."""
    lines = [HEADER, *map(_line, instruments), ""]
    return "\r\n".join(lines).encode()


def _line(item: Instrument) -> str:
    return ",".join(
        (
            str(item.instrument_token),
            str(item.exchange_token),
            item.tradingsymbol,
            _quote(item.name),
            "0",
            item.expiry.isoformat() if item.expiry else "",
            f"{item.strike.normalize():f}",
            f"{item.tick_size.normalize():f}",
            str(item.lot_size),
            item.instrument_type,
            item.segment,
            item.exchange,
        )
    )


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text
