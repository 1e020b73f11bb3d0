"""ticker-service: between trading programs and Zerodha's Kite Connect. Imports point down this list.

__main__ commands   the command line, and what each command does
main                the application: middleware, routers, lifespan
bootstrap composition   open and close every resource; build the object graph
api                 HTTP and WebSocket: one file for each resource
ops                 health, metrics, logs
orders              an order from the request to its end; the largest package, with a map of its own
market events webhooks accounts kite   market data; the event log; deliveries of it; broker sessions; the adapter to
                    Kite
db broker kit       PostgreSQL and Redis; the broker's vocabulary and port; helpers without domain words
config setting_values setting_files setting_names safe_values errors   settings: their kinds, files, misspelt
                    names, too weak ones; the tree of errors

To follow an order: ``api/orders.py``, ``orders/__init__.py``. To follow a tick: ``market/ticks/__init__.py``.
"""

__version__ = "0.1.0"
