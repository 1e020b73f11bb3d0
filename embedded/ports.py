"""Free ports on 127.0.0.1."""

import socket

LOOPBACK = "127.0.0.1"


def find_free_port() -> int:
    """A port without a listener. Another program may take it before the caller does, who must try again then."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def is_port_free(port: int) -> bool:
    """Whether a server can listen there. With SO_REUSEADDR, as servers set it: a port in TIME_WAIT counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
