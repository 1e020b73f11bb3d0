"""How the running service is observed. It reads the features through callables, and imports none of them.

health           is it healthy, ready, alive? read it first; why an account cannot trade is decided in
                 app/orders/engine/trading_status.py, and in app/orders/views/trading_statuses.py without an owner;
                 app/commands/serve.py makes it unready on a stop
trading_health   what it shows of the accounts' trading
readiness        may traffic be sent to this process?
metrics          the Prometheus registry and the counts of requests
metric_sources   which numbers stand behind which metric; app/composition/monitoring.py says where each is computed
webhook_metrics  deliveries to webhooks, and what waits
broker_calls     counts of requests to the broker, and of rows that could not be read
loop_lag         how late the event loop runs
logging          log lines
redaction        secrets and control characters out of lines that people read
"""
