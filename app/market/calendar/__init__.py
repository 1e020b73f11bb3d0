"""Time on the exchanges.

exchange_hours   when each exchange trades, holidays and special sessions included; pure
staleness        whether a price that is shown (quotes, subscriptions) is too old; orders: app/orders/risk/limits.py
"""
