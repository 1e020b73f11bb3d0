"""What the routes may use: built by ``app.bootstrap``, handed over by the lifespan's state.

Routes take ``services: ServicesDep`` (``app.api.deps``) and nothing else from outside.
"""
