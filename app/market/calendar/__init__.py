"""Time on the exchanges.

exchange_hours   when each exchange trades, holidays and special sessions included, and when a price is stale; pure
staleness        the age of a price that is shown (quotes, subscriptions); orders: app/orders/risk/limits.py
"""
