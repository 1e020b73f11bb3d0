"""What a trading day does by itself.

trading_days    sends after-market orders at the open, squares off, closes the day, begins the next
schedule        the hours of each exchange at which that happens (pure)
carry_over      how one day's portfolio becomes the next day's (pure)
"""
