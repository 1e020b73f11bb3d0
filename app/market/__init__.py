"""Market data: which instruments there are, who subscribes to what, and the path of a tick from feed to client.

    history quotes   candles and last values, by request
    subscriptions    what owners want, stored, and kept true at the feeds
    ticks            the hot path: raw packets in, JSON to Redis and to in-process listeners
    instruments      the broker's daily dump in PostgreSQL and in memory
    calendar         when exchanges trade, and when a price is too old

Imports point down only. The path of a tick: ``ticks/conflation`` (the newest packet of each instrument),
``ticks/pipeline`` (flush), ``ticks/publisher`` (Redis). Read ``subscriptions/service.py`` first for what is streamed,
``ticks/pipeline.py`` for how.
"""
