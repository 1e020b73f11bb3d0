"""A broker that speaks Kite Connect on localhost. It imports nothing from the service; its wire code is written from
Kite's documents.

assembly     builds one simulator from its settings. Read it first
server       listens, and runs the loops; `background` does it in a thread
market/      instruments, prices, quotes, candles
exchange/    orders, matching, accounts, trading days
rest/        Kite's REST routes and the control routes under `/_sim`
stream/      the ticker WebSocket; `replay` and `recorder`: recordings of one
faults/      how it fails on purpose
state/       how the exchange outlives the process
"""
