"""Recovery: after a loss of the database, the broker's order book says which orders exist. Read loss_signs first.

loss_signs          what proves that a database has forgotten something; pure
database_record record_stores    what is remembered of the database outside of it: in this process, in Redis, in a file
loss_check          compares the database with what is remembered, every second and when a lease term begins
recoveries          begins an account's recovery
account_recovery    the owner's part of each read of the book, until the recovery is over
adoption            makes a task of the book's rows under one of our tags that no task has; pure
unfinished          what becomes of requests that were not sent by all that the copy knows, and of their batches
recovery_store unfinished_store adopted_task_store    SQL
"""
