"""Operators: what an operator does to orders, by the API or the command line. Each action is audited.

halt_and_resume     stops and resumes new orders, cancels live ones, reads the audit trail
resolution          decides the outcome of tasks that the order book did not prove
unresolved          such tasks, with the orders that the book has shown for them
recovery_report     what a loss of the database has left open, and the word on orders without a tag
resolution_store recovery_report_store    SQL
"""
