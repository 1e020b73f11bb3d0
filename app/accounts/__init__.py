"""Accounts and their broker tokens.

sessions          which token of each account is in force now, and whether the broker has refused it; read it first.
                  For how long orders wait after that is in app/orders/state/session_state.py
token_memory      what the broker's answers have shown of each token
token_proofs      asks whether a new token works, before it replaces one that does
logins            tokens by login, here and at the other replicas; refuses a login that another account has
login_check       asks the broker whose each token is, and raises the alarm where two accounts have one login
sealed_sessions session_store   sessions in PostgreSQL, encrypted with ``TOKEN_KEY``
token_files       tokens that a job writes to ``TOKEN_DIR``, looked at on each use
roster            the accounts as configured
model             accounts, sessions, what may be shown of them, and until when a token is valid (06:00)
"""
