"""Fixtures that every test may ask for live in the plugins named here."""

import os

from hypothesis import settings

pytest_plugins = ["tests.servers", "tests.order_fixtures", "tests.e2e.fixtures", "tests.faults.outage_stage"]

# No deadline per example: the machines that run this are shared, and a slow one proves nothing about the code.
# In CI the examples are the same each time, so that a red run is about the change; elsewhere they are new ones.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
