"""Accounts and their broker tokens.

sessions          which token of each account is in force now; read it first
logins            how a new token comes into force, here and at the other replicas
sealed_sessions session_store sealing   sessions in PostgreSQL, encrypted with ``TOKEN_KEY``
token_files       tokens that a job writes to ``TOKEN_DIR``
roster            the accounts as configured
model             accounts, sessions, and what may be shown of them
"""
