"""What the service is built with that knows nothing of trading.

clock ids           time and identifiers, as arguments
supervisor          named background tasks; one that ends stops the process
probe cancellation  a bounded check; a cancelled task that must end
answer_time         how much time is left until a request must be answered
backoff hysteresis  how long to wait before the next attempt, and for how long a condition is shown; pure
broadcast           one writer, many readers, no reader slows another
histogram json      counted durations; exact decimals in JSON
sealing             secrets at rest, encrypted
process             this process's name, and whether another one still runs
"""
