"""What an order is, and the order data of a trading day. Nothing here places or matches an order.

order            an order, its fields and its history
request          its parameters: variety, product, prices, validity
status           its statuses, and which may follow which
book             the orders of the day, by id, by user and by instrument
ids              the numbers given to orders, trades, GTTs and alerts
ledger           every order that was ever accepted: what a test compares an order system with
rows             an order as Kite's JSON: book, history, trades, updates
units            lots, multipliers and ticks of each exchange
order_faults     how the exchange may misbehave with one order

Read `order` first.
"""
