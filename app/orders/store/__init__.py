"""The order engine's SQL, by what it is about: ``tasks``, ``book``, ``batches``, ``accept``. Parameters only."""
