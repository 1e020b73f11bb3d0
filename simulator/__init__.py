"""A broker that speaks Kite Connect on localhost: market, exchange, REST, WebSocket and faults in one process.

It stands alone: nothing here imports from the service, and its wire code is written from the broker's documents.
"""
