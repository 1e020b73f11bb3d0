"""Candles over any range.

service   checks a request, fetches its parts at the broker's pace, joins them
ranges    which intervals there are, how a range is cut, how times are written; pure
"""
