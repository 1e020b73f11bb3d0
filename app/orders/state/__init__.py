"""State: tasks, the broker's orders, fills, and the only code that changes them. Read ``lifecycle`` first.

model lifecycle verdicts      a task, its statuses, and what changes them; pure
settlement                    applies verdicts to tasks and book rows to orders, each with its event
new_tasks tags                makes tasks and their tags (of the client's key)
removal removal_rules mass_cancels completeness   the one way to get rid of an order, of one or of all that match, and
                              whether rows are all the orders of a placement; the last three pure
order_state known_orders order_terms trading_days    what a row of the book means; pure
fills attempt_outcomes alarms audit page documents    values; the last is the JSON that clients see
last_prices                   the last prices, as a Protocol
session_state send_memory     whether the broker has rejected the token; what this process has sent
trading_reasons egress        why an account cannot trade (trading_status_store: its owner's word); who may send
order_parts engine_settings counters lease_term wakeups    what the loops of an account share; times, bounds, freshness
task_store new_task_store mass_cancel_store replacement_store removal_store order_store fill_store alarm_store
audit_store tag_store recovery_state_store exit_state_store    SQL; task_store also stores what became of an attempt
"""
