"""What is traded and at which price: the universe, the seeded price paths, quotes and candles."""
