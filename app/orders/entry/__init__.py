"""Entry: how a client's request becomes stored tasks. Nothing is sent here.

service            the commands of clients: checks, makes tasks, hands them on; read it first
acceptance         stores a request exactly once, whatever happens to the commit; answers repeated requests
lost_requests recovered_keys   the same after a loss of the database, by the orders in the book; the second is pure
key_memory         which keys this process has stored, or may have stored
outcome_wait       waits for the outcome (polls: another replica may settle it), and makes the client's answer
risk_check stored_state    decides in the storing transaction by limits and halts; what it reads. If-Match and
                   `replaces` are compared in preconditions, under the same lock
requests validation preconditions   the checks, and defaults such as market_protection; the last two are pure
margin             the margin of a batch, and the order in which its legs are sent
withdrawal mass_cancel   takes one placement back, whatever its status; all that match a filter
position_close keyed_commands   closes positions that match a filter; stores such a command once, under its key
fingerprint idempotency intent market_data_port not_accepted   values, errors, a Protocol of what is needed
idempotency_store precondition_store   SQL
"""
