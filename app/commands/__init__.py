"""What each command of ``python -m app`` does; ``app/__main__.py`` is the command line.

serve migrate doctor login tail   run, bring the schema up to date, check, log in, show ticks
doctor_machine doctor_database doctor_network findings   the checks of doctor, by what they ask
kill orders recover               an operator's commands on the database; operator_database is what they share
events                            proof that the event log is as it was written, and a copy of it

They are plain coroutines that return text, so that tests call them without a terminal.
"""
