"""The bodies of ``python -m app ...``: plain coroutines, so that tests call them without a terminal."""
