"""Risk: which orders an account must not place. Read ``limits`` first.

limits               value, quantity, price, repetition, open orders, modifications of one order, and what a stale
                     last price does; pure
positions            whether an order only reduces its position, and how much of it no other order closes yet; pure
exits                the orders that close positions; pure
changed_orders       what an order may be before and after a modification, at its worst; pure
reducing_changes     which modifications pass reduce-only mode; pure
reduce_only          reads, under the account's lock, what that depends on
halts halt_writer    a halt (the kill switch), and setting it with its audit entry
halts_and_doubts_store   halts and doubts of several accounts at once, for what is said about them
limit_store halt_store doubt_limit_store    SQL; the last stops new orders while too much is in doubt. The claim
                     statement asks for halts and doubts too
"""
