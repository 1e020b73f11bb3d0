"""The whole product on one machine, with nothing installed beforehand (`make run`). Tests start their servers with it.

__main__               `python -m embedded`: starts the product, prints how to use it, stops it on Ctrl-C
product                all programs, started and stopped in order. Read it first
postgres, redis        real servers from wheels
process, launch        child processes that never outlive their parent
data_dir, settings     the data directory and the environment variables; stop_signals: what ends a command
first_subscriptions    what a newcomer sees ticking; banner: what a newcomer reads
app, watch             `python -m embedded.app` and `python -m embedded.watch`: commands on what is running
ports, errors          free ports; errors of one line
"""
