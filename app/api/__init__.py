"""HTTP and WebSocket. One file for each resource; each has ``build_router``, and ``app.main`` lists them.

accounts instruments subscriptions market_data portfolio   accounts and market data
orders mass_cancel position_close batches admin postback   orders and operators
events event_stream schemas order_stream tick_stream health   events, streams, probes
webhooks webhook_deliveries   events to the endpoints of clients

Before every request: connection_limits (which connections may stay), http_connection, socket_connection (bounds)
Around every request: middleware (read it first), methods, trusted_names, keys, rate_limits, problems (errors as HTTP)
For routes: services (what they may use), dependencies, strict_route, strict_json, query_values, paging, exact_json
For orders: order_bodies, order_route, order_answers, idempotency_key, if_match
For the rest: subscription_bodies, webhook_bodies, body_shapes, openapi; sockets (one WebSocket, first to last message)
"""
