"""Orders that lead to further orders.

iceberg      sends its next leg when the leg before is filled
cover        gets a stop as its second leg when the first has ended with fills
autoslice    an order above the freeze quantity is placed as several

Varieties that lead to no further order (regular, after-market, auction) need nothing here: `entry` checks them,
`matching.engine` and `days` treat them.
"""
