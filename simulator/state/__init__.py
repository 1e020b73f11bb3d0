"""How the exchange outlives its process (`--state-dir`).

persistence       connects an exchange with its directory at the start. Read it first
journal           the file: appended line by line, begun anew with each day
records           its lines as values
journal_writer    changes of the exchange -> lines
restore           lines -> the exchange as it was
"""
