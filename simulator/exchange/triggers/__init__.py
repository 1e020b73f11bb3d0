"""Orders that come later: the broker stores GTTs and alerts, evaluates them as prices change, and places their orders.

gtt_triggers      all users' GTTs
alert_triggers    all users' alerts

`conditions` says when one fires.
"""
