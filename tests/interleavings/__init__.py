"""Every pair of operations on one account, run in many orders of their steps; a checker looks at what is left.

scheduler      grants one step at a time to one of two operations: one statement, or one request to the broker
pausing        connections that ask the scheduler before each step, and gateways (`pausing_broker`)
exploration    which orders of steps are run, and in which sequence; pure. `explorer` runs them
environment    exchange, databases, one replica of the service for each side; `exchange_gateway`
subjects       what operations act on: a pending order, a live one, a doubt, a batch; `subject_makers`
operations     accept, claim, settle, withdraw, kill, resume, reconcile, saga, modify, replace, resolve, takeover
rest           brings an account to rest without pauses
checks         what must be true then, by the rows (`account_history`), the ledger and the answers
pairs          which operations meet on which subjects; one run of a pair. Read it first
known          what fails today, each with its fault
summary        the counts at the end of a run of the tests
"""
