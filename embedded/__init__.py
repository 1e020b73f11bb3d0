"""The whole product on one machine, with nothing installed beforehand.

`python -m embedded` (what `make run` calls) starts a real PostgreSQL and a real Redis-compatible server from wheels,
the broker simulator and the service. The test suite starts its servers through the same code, so what the tests prove
is what a newcomer runs.
"""
