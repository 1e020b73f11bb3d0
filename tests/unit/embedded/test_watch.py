"""A line for each tick."""

from embedded.watch import render_tick


def test_a_tick_is_one_line_in_indian_time() -> None:
    """The time of receipt, the name, the price, the mode and the source."""
    tick = {
        "received_at": 1_767_325_800_123,
        "exchange": "NSE",
        "tradingsymbol": "NIFTY 50",
        "instrument_token": 256265,
        "last_price": 26146.5,
        "mode": "full",
        "source": "simulator",
    }
    assert render_tick(tick).split() == ["09:20:00.123", "NSE:NIFTY", "50", "26146.50", "full", "simulator"]
