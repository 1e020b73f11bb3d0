"""Measurements (README.md). Alternatives run alternately on the same input.

__main__     ``python -m benchmarks [name ...]``
ticks        broker's frame to Redis subscriber; with tick_server, tick_stacks and tick_subscriber
orders       POST to the broker's socket; with order_environment and order_proxy
simulator    ticks and REST latency of the simulator; with simulator_clients
figures      medians, percentiles and ratios per round; machine: what they were measured on; processes: child processes
"""
