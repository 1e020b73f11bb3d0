"""How the simulator fails on purpose (`/_sim/faults`).

kinds         every kind of fault with its parameters. Read it first
registry      the faults that are set, and which of them strike a request, a push or a socket
middleware    faults of the connection: what a client's socket sees instead of an answer
effects       faults of an order, which exchange/matching/engine carries out, and of the order and trade book

Faults of pushes are carried out in `simulator.order_updates`, those of sockets in `simulator.stream`.
"""
