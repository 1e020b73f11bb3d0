"""How the broker takes an order: read the form, check it, book it.

parameters         the form of a client as a typed `OrderRequest`
checks             what is refused from the order, its instrument and the last price alone
market_protection  a MARKET order becomes a LIMIT within a band
acceptance         session hours, funds and shares; then the order gets its id and is in book and ledger

All but `acceptance` is pure. Read `acceptance` first.
"""
