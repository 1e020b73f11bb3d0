"""Kite Connect's REST routes over the exchange and the market, and the control routes under `/_sim`."""
