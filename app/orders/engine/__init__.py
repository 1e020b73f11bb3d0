"""Engine: which process sends for which account, and the loops that it runs for it. Read ``account_engine`` first.

order_engine         all accounts of a process
account_engine       one account: waits for the lease, runs the loops; on a stop drains them and gives the lease up
account_loops        builds sender, reconciler and batch runner for one lease term
activity_check activity_store    which accounts are idle, so that their loops poll seldom
trading_status trading_status_writer   would an order placed now reach the broker, if not, why; written for all replicas
egress_check         announces this replica as a sender; halts an account for which no replica may send
statement_warmup     plans the slow statements on a new connection
"""
