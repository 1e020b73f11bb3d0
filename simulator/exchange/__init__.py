"""The exchange and the broker's back office, in layers: imports go down this list only (pyproject.toml).

exchange      what a client may do with orders: place, modify, cancel, convert, read. Read it first
days          the trading day: open, square-off, close, the next day
triggers      GTTs and alerts: orders that come later
varieties     iceberg, cover and sliced orders: orders that lead to further orders
matching      an accepted order's path: matching, fills, end
entry         how an order is checked and taken
parts         what all of these share
steps         one change as a unit: saved whole, then announced
accounts      users, portfolios, positions, margins, charges
conditions    when a GTT or an alert fires
orders        what an order is; book, ledger, ids, rows
"""
