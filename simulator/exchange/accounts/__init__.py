"""What a user has, and what it costs.

users            API keys, access tokens and logins
portfolio        one user's positions, holdings and cash; what an order needs and what is available
positions        a position from its trades, and its row
margins          the margin rule: what positions and open orders block
hedges           the margin of many exposures together, with the benefit of hedges
charges          taxes and fees of an order, for display

All but `users` is arithmetic without I/O. Read `portfolio` first.
"""
