"""What outlives a process: the journal of the exchange and what is read back from it."""
