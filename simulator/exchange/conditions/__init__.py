"""What makes an order that comes later: the conditions of GTTs and alerts, and their rows. Pure.

gtt      a GTT (good till triggered): when it fires, which order it places
alert    an alert: a comparison of last prices, with or without a basket of orders

`triggers` stores them and evaluates them as prices change.
"""
