"""Orders: from a client's request to one order at the broker, stored before it is sent and never sent twice.

Packages, each importing only those below it; two on one line do not import each other:

    entry | operators     accepts clients' requests | carries out operators' commands
    engine                owns accounts by lease and runs their loops
    views                 what clients read
    reconciliation        what the broker's order book and trade book prove
    recovery              what a loss of the database made unknown, found again in the broker's order book
    batches | sending     up to twenty legs, all or none | claim, send once, store the outcome
    risk                  limits, halts, and proofs that an order reduces a position
    state                 tasks, orders, fills, and the one place where each changes; read ``state/lifecycle.py`` first

The path of an order, from POST to settled:

    1. entry/service.py checks the request and makes a task; acceptance.py stores it, outcome_wait.py waits for it.
    2. entry/risk_check.py asks for limits and halts in the transaction that stores the task. Nothing is sent before.
    3. engine/order_engine.py wakes the sender of the account's owner, here or at another replica.
    4. sending/sender.py waits for the rate limit; sending/claim_store.py checks every condition and claims the task.
    5. sending/transmission.py sends one request; sending/outcome_rules.py makes a verdict of its outcome.
    6. state/settlement.py applies the verdict, if the fence is still the claim's, and writes the event with it.
    7. Without an answer it is in doubt: reconciliation/reconciler.py reads the order book, doubt_rules.py decides.
    8. reconciliation/apply_book.py stores each state of the order until its end, fill_sync.py its fills.

Words of this service:

    task           one request to the broker (place, modify, cancel), stored before it is sent
    attempt        one send of a task, under a tag of its own
    claim, fence   a sender's right to send a task once; the number that rises with each claim and makes older ones void
    held           a task that must not be sent now, with the reason
    halt           stops new orders (routes and the table call it kill, kill switch)
    doubt          a task whose outcome is unknown
    foreign order  one of another application, without our tag; an orphan has our tag and no task
    clean read     a read of the order book that can prove an order absent: complete, and begun after the send
    provisional    a failure that a later order book may still disprove, until the day is over
    lease term     the time in which one process owns an account
    reduces        proven to make a position only smaller; such orders pass reduce-only mode
    wave, residual legs of a batch that are sent together; the position that a rolled back batch leaves
"""
