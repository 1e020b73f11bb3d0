"""The accounts and their broker sessions.

service         which access token is in force, login and log-out; read it first
roster          the accounts of ACCOUNTS_FILE or of the settings
token_files     access tokens that another program writes
sealing         tokens encrypted at rest
session_store   SQL
model           values
"""
