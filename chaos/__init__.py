"""Breaks everything around the service while it trades, and proves afterwards that no order was doubled or lost."""
