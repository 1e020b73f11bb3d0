"""The instruments of the day.

registry           loads, refreshes and answers; the only part that others call
index              one day's instruments in memory, immutable and searchable; pure
dump_schedule      when the broker has a new dump, and which one is refused (too small, or too
                   many unreadable rows); pure
instrument_store   SQL
model              values
"""
