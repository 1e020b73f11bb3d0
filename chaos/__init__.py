"""Breaks everything around the service while it trades, and checks afterwards that no order was doubled or lost.

run, __main__     one run: start, trade under faults, settle, check, report. Read it first
stack             what is under test: servers, simulator and replicas of the service, behind proxies
fault_schedule    which faults, how often, how long; kills, pauses and restarts replicas
proxy             a TCP proxy with faults
load              the clients that place, change and cancel orders
subscribers       the readers of the order stream
history           what a run leaves, as values
history_reader    fills it from ledger, tables and logs
checker           what must never happen: checks C1 to C10 over a history; event_checks: C6 and C7
"""
