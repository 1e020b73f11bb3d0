"""The path of a tick, 100,000 times a second. A change here quotes its benchmark (``python -m benchmarks ticks``).

pipeline           flushes the newest ticks of all accounts to Redis and to listeners; read it first
newest             the newest tick of each instrument, over all accounts: what the feeds fill and others read
conflation         the packet received last of each instrument of one account, and how it becomes JSON
publisher          one connection to Redis, one batch in flight
redis_connection redis_commands   the connection, and its wire as bytes (pure)
counters           what is counted
tick_source        live, simulator or replay; pure
"""
