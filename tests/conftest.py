"""Fixtures that every test may ask for live in the plugins named here."""

pytest_plugins = ["tests.servers", "tests.order_fixtures", "tests.e2e.fixtures"]
