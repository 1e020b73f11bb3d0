"""The instruments of the day.

registry           loads, refreshes and answers; the only part that others call
index              one day's instruments in memory, immutable and searchable; pure
dump_schedule      when the broker has a new dump, and which dump is too small to be taken; pure
instrument_store   SQL
model              values
"""
