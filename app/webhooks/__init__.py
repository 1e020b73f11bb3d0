"""Webhooks: each event of an account to the endpoints that clients registered, signed, at least once.

service            what clients do: register, change, rotate, test, replay, read the log; read it first
delivery           the loop of every process: claim, try, store. Deliveries are written with their event, in
                   app/events/event_append_store.py
attempt results    one signed request; what its outcome means for the delivery and its endpoint
retries            when is it tried again, and when is an endpoint given up? pure
target public_addresses   which URLs and which addresses may be used; pure
posting checked_connection kept_connections name_lookup   one HTTP request, to the address that was checked
signing secrets    Standard Webhooks; secrets in their rows, encrypted
housekeeping       old news, disabled endpoints, old entries
endpoint_store claim_store delivery_store model   SQL and values
"""
