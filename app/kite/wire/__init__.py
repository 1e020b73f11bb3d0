"""Codecs of Kite Connect's wire. Pure: no async, no clock, no client; proven by vectors, tables and Hypothesis.

outcome   what the answer to an order request proves; read it first
orders market session   forms out, rows in one by one: a row that cannot be read is left out and named
stream ticks            the ticker's text and binary frames
envelope values         the JSON around everything, and its scalars
"""
