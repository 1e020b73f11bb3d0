"""Views: the reading side of orders. No function here changes a row.

queries       orders, tasks, batches and fills as documents, page by page, and what an order's id names (an order, or a
              group of slices); read it first
query_store   SQL of the lists, and of how many outcomes are in doubt and since when
trading_statuses   whether each account can trade: what its owner says, no_sender when no owner says anything, or
              database_stalled when this replica cannot read that
"""
