"""What owners want to have streamed, and what the feeds are asked for because of it.

service              the writes and the background loop; read ``_change`` first
committed            in memory what PostgreSQL has at one version, by today's tokens: an expired instrument stays
                     stored and is not streamed
feed_control         asks the feeds for the difference
feed_silence         when a feed without ticks is silent; app/kite/feed.py replaces a dead socket
records              a subscription as it is shown
market_events        into the event log and onto Redis
allocation           which account streams an instrument (3,000 an account, one socket); pure
desired_state        what changes when an owner sends its set, what all owners need together, what a feed is asked; pure
tick_status          requested to stale (how old is too old: calendar/); pure
subscription_store   SQL
model                values: subscription, desired stream
"""
