"""ticker-service: between trading programs and Zerodha's Kite Connect."""

__version__ = "0.1.0"
