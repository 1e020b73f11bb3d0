"""Side by side measurements: ``python -m benchmarks [name ...]``. The alternatives run in turn on the same input."""
