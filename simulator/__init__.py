"""A broker that speaks Kite Connect on localhost. It imports nothing from the service; its wire code is written from
Kite's documents.

assembly, settings    builds one simulator from its settings. Read it first
__main__, server      the command line; listens, and runs the loops
application           the ASGI application: routes, errors, middleware; envelope, errors, formats: Kite's JSON
market                instruments, prices, quotes, candles; clock: the simulator's time
exchange              orders, matching, accounts, trading days; order_updates: pushes and postbacks
rest                  Kite's REST routes and the control routes under `/_sim`; rate_limits: Kite's request limits
stream                the ticker WebSocket; replay, recorder: recordings of one
faults                how it fails on purpose; transport: how a connection is ended
state                 how the exchange outlives the process
"""
