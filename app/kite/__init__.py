"""The one adapter to Kite Connect v3: bytes and JSON on one side, the values of ``app.broker`` on the other.

    broker            one account put together; read it first
    orders            sends, each at most once, and the order book; reads has portfolio and market data, row by row
    session           login and log-out; tokens is who learns whether a token is refused
    http              the HTTP clients; endpoints are the labels of what they are asked for
    route             the proxy and the IP version of connections
    unread_bytes      connections that are given up once more came than was asked for
    governor          waits until a request may go; pace decides when (pure); shared_pace waits for a slot among the
                      reads of all replicas
    feed              the ticker: connect, subscribe, replace a silent socket (the old one is closed first, so that
                      ticks stay in order); socket is one connection
    wire              codecs, and what an answer proves (pure)

Only the composition root imports this package.
"""
