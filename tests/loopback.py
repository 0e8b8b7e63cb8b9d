"""A listening socket on loopback that shows whether anybody has connected to it."""

from __future__ import annotations

import socket


def was_contacted(server: socket.socket) -> bool:
    """Return whether a connection waits at a socket that does not block."""
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True
