"""The listening socket: opened once, shared by all workers, and closed without resetting a connection.

The system finishes a handshake by itself and keeps the connection until a process takes it. Whoever closes a port for
good resets those that nobody has taken, although their clients may have sent a request already. So the port first
stops to hear of new clients, then what has come is taken, and only then it is closed.
"""

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from recsvc.errors import RecsvcError

BACKLOG: Final = 2048
HANDSHAKE_SECONDS: Final = 0.1
"""How long a handshake that has begun may take to end once no new one is heard of."""

_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h
# A program of linux/filter.h over the TCP header: a packet with the flag SYN is dropped, any other is let through.
_DROP_SYN: Final = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte of the flags
        (0x45, 0, 1, 0x02),  # is SYN among them? if not, pass over one instruction
        (0x06, 0, 0, 0),  # keep nothing
        (0x06, 0, 0, 0xFFFFFFFF),  # keep all
    )
)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; made here because uvicorn would end the process where the port is taken.

    Raises:
        RecsvcError: If the host is none of this machine's, or the port cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise RecsvcError(f"The host {host!r} is not an address of this machine: give another.") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise RecsvcError(f"Port {port} on {host} is in use: choose another port.") from error
        raise RecsvcError(f"Port {port} on {host} cannot be opened: {error.strerror}.") from error
    return listener


def hear_no_more(listener: socket.socket) -> None:
    """Let the system ignore whoever begins to connect, for all processes that share the socket.

    Handshakes that have begun end as usual. A client that is ignored asks again after a second, finds the port closed
    by then, and is refused: it knows that nothing of its request was read. Where the system has no such filters, the
    port stays as it is, and a connection that comes in the very moment of closing may be reset.
    """
    program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    option = struct.pack("HP", len(_DROP_SYN) // 8, ctypes.addressof(program))
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)


def accept_all(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that have come and that no process has taken; the socket does not block."""
    with suppress(BlockingIOError):
        while True:
            yield listener.accept()[0]
