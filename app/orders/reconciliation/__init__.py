"""Reconciliation: what the broker's order book and trade book prove about the account's tasks and orders.

reconciler        the loop of one account: when to read, and what follows a read; read it after doubt_rules
doubt_rules       what one read proves about a task whose outcome is unknown, and about a cancel or modification
                  whose order has ended meanwhile; pure, read it first
book_gaps         what a read cannot show: bad rows, confirmed orders that never appear; pure
apply_book        settles what a read proves, in one transaction; a failed order that turns up alive is cancelled there
anomalies anomaly_rules    alarms for the operator: orphans, copies of another account's order, look-alikes
fill_sync inferred_fills   fills from the trade book, and those that it lacks (alarm inferred_fill); the second is pure
overdue           ends what needs no read: claims without an outcome, unsent tasks that are too late, replacements
                  whose old order filled first
day_end           doubts, live orders and fills of a day whose book is gone (alarms end_unseen, fills_missing)
read_schedule     when the book is read again, and how many hints share one read; pure
overdue_store read_schedule_store   SQL; the first with the conditions of what is overdue
"""
