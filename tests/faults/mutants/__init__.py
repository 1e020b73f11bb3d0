"""Mutants: the product with one small fault put into it, to see whether a test notices.

mutant.py            one change of one file, and its key, which stays the same when lines move
python_operators.py  changes of Python code
sql_clauses.py       changes of SQL statements: each clause, boundary, assignment and lock
population.py        every mutant of the code that must never be wrong, and a sample of them
equivalents.py       mutants that change nothing, each with its reason
recorder.py          a pytest plugin that records how long each test takes
touching.py          which tests run a line, from one recorded run of the tests
trial.py             runs tests against a mutant, in a process and a tree of its own
"""
