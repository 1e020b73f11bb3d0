"""Risk: which orders an account must not place. Read ``limits`` first.

limits               value, quantity, price, repetition, open orders, modifications of one order, and what a stale
                     last price does; pure
positions            how much of a position an order can still reduce; pure
reduce_only          proves that an order only reduces, under the account's lock
halts halt_writer    a halt (the kill switch), and setting it with its audit entry
stop_store           halts and doubts of several accounts at once, for what is said about them
limit_store halt_store doubt_limit_store    SQL; the last stops new orders while too much is in doubt. The claim
                     statement asks for halts and doubts too
"""
