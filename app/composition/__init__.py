"""Puts the parts of the service together, from resources that ``app.bootstrap`` has opened. Read ``runtime`` first.

runtime      the whole process: the order of construction and of the start, and the hand-over to another replica
parts        what the builders are given: ``Process``, ``Accounts``, ``Overrides``
orders       ``build_orders``; the commands and the tests use it too
market       ``build_market``: instruments, feeds, newest ticks, subscriptions, quotes
streams      ``build_streams``: order events and ticks to sockets, ticks to Redis
accounts     ``build_logins``: what follows a new token
webhooks     ``build_webhooks``: operations on webhooks, and their deliveries
event_writer    writes events for orders and subscriptions
monitoring   ``build_monitoring``: health and metrics

A builder returns complete, frozen parts; nothing is assigned to them afterwards.
"""
