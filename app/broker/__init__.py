"""The broker's vocabulary and the port to it: what the rest of the service knows about Kite Connect.

    port          the Protocols that ``app.kite`` implements, and that tests may implement otherwise; read it first
    orders        an order request, and what the broker's books show
    rows          values for the readable rows of an answer and for the others; app/kite/wire tells them apart
    outcomes      what is known after an order request was, or was not, sent
    market        instruments, modes, quotes, candles
    ticks         a tick as it leaves the service
    identifiers   the pattern of account and order ids

No I/O.
"""
