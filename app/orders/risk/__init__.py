"""Risk: which orders an account must not place. Read ``limits`` first.

limits               value, quantity, price, repetition, open orders, and what a stale last price does; pure
positions            how much of a position an order can still reduce; pure
reduce_only          proves that an order only reduces, under the account's lock
halts kill_switch    a halt, and setting it with its audit entry
limit_store kill_switch_store    SQL; the claim statement reads the kill switch too
"""
