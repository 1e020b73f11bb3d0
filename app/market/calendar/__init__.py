"""Time on the exchanges.

exchange_hours   when each exchange trades, holidays and special sessions included; pure
staleness        how old a price is, and whether that is too old now
"""
