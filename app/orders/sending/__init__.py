"""Sending: one account's tasks to its broker, each claim at most once. Read ``sender`` first, then ``claim_store``.

sender               the loop: when the next task may be sent
claims claim_store claim_parameters   step 1: claim a task and store its attempt, by one SQL statement that checks all
price_guard price_bounds    the client's own bounds on the last price, not_above and not_below; the second is pure
transmission         step 2: one request, and the pause of the account after a 429
outcome_writer outcome_rules      step 3: store the outcome; the second makes the verdict, pure
order_owner_store    whose order it is that an answer names; outcome_rules makes a doubt of an answer to another request
held_tasks           shows why waiting tasks are not sent
account_breakers circuit_breaker  stop sending while requests fail; the second decides, pure
hand_over_pause sent_today_store  keep the broker's limits of second, minute and day across owners; the first is pure
egress_store address_refusal    which replicas may send by their address; hand an account over, or halt it
"""
