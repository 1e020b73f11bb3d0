"""The broker's vocabulary and the port to it: what the rest of the service knows about Kite Connect.

``orders``, ``outcomes``, ``market``, ``ticks`` are values; ``port`` is the Protocols that ``app.kite`` implements and
that tests may implement otherwise. Nothing in here talks to the world.
"""
