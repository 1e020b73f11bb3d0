"""The bodies of the commands of ``python -m app``, one file a command; ``app/__main__.py`` is the command line.

They are plain coroutines that return text, so that tests call them without a terminal.
"""
