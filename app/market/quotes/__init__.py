"""Last values of instruments, streamed or not.

service        from memory, from Redis, else from the broker at its one request a second
broker_quote   a REST quote with the field names of a tick; pure
"""
