"""What is traded and at which price. A price path is a pure function of seed and time.

market                              quotes by instrument token, steps in time, listeners. Read it first
market_loop                         steps the market with the clock
sessions                            trading hours
universe, symbols, contracts        which instruments are listed on a day
listing                             a day's instruments with their columns; how a session starts
prices                              the price paths
state                               the present quotes in columns, and how ticks change them
rotation                            which instruments tick next
quote, quote_json, candles          quotes and candles from the columns
closed_candles                      candles that were shown closed, which stay
instrument, csv_dump                an instrument, and the dump of all
recorded_packets, mutual_funds      prices of a recording; mutual funds
"""
