"""Ports on 127.0.0.1: a free one, and whether one is free."""

import socket

LOOPBACK = "127.0.0.1"


def find_free_port() -> int:
    """A port nobody listened on a moment ago: the caller must be ready to lose the race and ask again."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def is_port_free(port: int) -> bool:
    """Whether a server could listen there. SO_REUSEADDR, as servers set it: a port in TIME_WAIT counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
