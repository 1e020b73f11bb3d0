"""Pure codecs of Kite Connect's wire: no async, no clock, no client. Proven by vectors, tables and Hypothesis."""
