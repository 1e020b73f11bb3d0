"""The one adapter to Kite Connect v3: bytes and JSON on one side, the values of ``app.broker`` on the other.

``wire`` is pure; ``http``, ``orders``, ``reads``, ``session``, ``feed`` and ``governor`` are thin shells around it;
``broker.open_broker`` puts one account together. Only the composition root imports this package.
"""
