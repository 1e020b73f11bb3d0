"""The event log of each account, and the WebSocket streams that are read from it and from the ticks.

model event_types   an event, and where a log stands; the closed list of types
event_schemas asyncapi   what is in each type, and in each message of the sockets
event_append_store   SQL, in the transaction that changes the state; event_read_store reads
event_log      pages for readers
retention pruning_store log_signature   drops what is old, and signs what was dropped
chain_check log_export   finds the first event that does not follow the one before it, here and in a copy
order_stream   events to every socket of an account, exactly once; read it first
resume         whether a socket may resume, or starts with a snapshot
order_reader delivery_cursor   one socket's place, and its end where it reads too slowly; how far an account was served
tick_stream    newest ticks to sockets, through Redis where the feed runs elsewhere; tick_modes reduces them
protocol       messages and close reasons
redis_bus      publisher and listener of Redis for hints and ticks; outage logs when Redis fails
limits stats   bounds and counts
"""
