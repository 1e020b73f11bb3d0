"""Breaks everything around the service while it trades, and checks afterwards that no order was doubled or lost.

run, __main__     one run: start, trade under faults, settle, check, report. Read it first
stack             what is under test: servers, simulator and replicas of the service, behind proxies
processes         the server's processes, and the clock of a replica
fault_schedule    which faults, how often, how long; kills, pauses and restarts replicas
fault_kinds       the kinds of faults at the broker and on a line; broker_faults, database_faults cause them
proxy             a TCP proxy with faults
load              the clients that place, change and cancel orders
subscribers       the readers of the order stream
history           what a run leaves, as values
history_reader    fills it from ledger, tables and logs
checker           what must never happen: checks C1 to C15 over a history; event_checks: C6 and C7,
                  outcome_checks: C11 to C15
observations      what was seen from outside, as values; probes sees it
loss_phase        the end of a run: the database is put back to a copy, database_copy; loss_checks: what holds then
lost_answers      how long an order is in doubt whose answer was lost
outages           one outage of the database after another, in place of random faults
"""
