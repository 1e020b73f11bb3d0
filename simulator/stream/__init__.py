"""The ticker WebSocket.

sockets                   all open sockets: upgrades, refusals, order updates. Read it first
connection                one open socket: its reader and its writer
subscriptions             what a socket is subscribed to and has to be sent (no I/O)
replayed_subscriptions    the same for a recording
packets                   Kite's binary packets and containers
messages                  what clients send
socket_faults             faults as the sockets see them
protocol                  the TCP side
"""
