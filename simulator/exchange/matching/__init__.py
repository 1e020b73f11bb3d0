"""How an accepted order goes to the exchange, trades and ends.

engine        the path of an order: to the exchange, triggers, fills, cancels, expiry
fills         which fills an order gets (pure)
liquidity     what an order may trade with: the simulated quotes, and other users' orders
protections   what the exchange does not match and cancels: far prices, orders of one user (pure)
follow_ups    what an order's end leads to, queued until the trade is complete

Read `engine` first. `varieties` places the follow-up orders.
"""
