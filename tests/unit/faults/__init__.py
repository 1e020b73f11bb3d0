"""Unit tests of what tests/faults is built of."""
