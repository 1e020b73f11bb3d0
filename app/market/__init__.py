"""Market data: instruments, subscriptions, ticks to Redis, last values, history.

calendar planning ranges source    pure rules
instrument_index                   the day's instruments in memory, immutable
instruments subscriptions          services over PostgreSQL (``*_store.py``)
pipeline publisher resp            the tick path: raw packets in, Redis out
quotes history                     last values and candles for the doors
"""
