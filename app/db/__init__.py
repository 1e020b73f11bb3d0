"""PostgreSQL and Redis: connections, and what is built on them for everything else. No domain.

postgres        pools, transactions, bounds on the server's side; read it first
server_check    refuses a server on which the service cannot work: encoding, transaction pooling
database_bounds bounded_connection   the bounds from the settings; those on our side: of each answer of the server
pipeline        the results of queries that share one round trip
clock           the database's time in this process, for everything that is compared with a row
read_count read_pace_store   how fast all replicas together may read from the broker; the second is SQL
leases ownership    one owner at a time, across processes, with a term; the second runs the owner's work
database_identity   which database this is, and how far it has come
notifications   LISTEN and NOTIFY between replicas
migrate schema  bring the schema up to date (migrations/env.py: one at a time), and refuse any other one
redis           clients
redis_keys      the names of every key and channel
"""
