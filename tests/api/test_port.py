"""The port as it closes: who has connected is taken, who comes after is refused, and nobody is reset."""

import socket
import threading
import time

import pytest

from api.port import accept_all, hear_no_more, listen
from recsvc.errors import RecsvcError


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_whoever_comes_while_the_port_closes_is_refused_and_not_reset(host: str) -> None:
    try:
        listener = listen(host, 0)
    except RecsvcError:
        pytest.skip(f"{host} is no address of this machine")
    listener.setblocking(False)
    address = listener.getsockname()[:2]
    before = [socket.create_connection(address, timeout=20) for _ in range(3)]
    hear_no_more(listener)
    late: list[BaseException | socket.socket] = []

    def come_late() -> None:
        try:
            late.append(socket.create_connection(address, timeout=20))
        except OSError as error:
            late.append(error)

    client = threading.Thread(target=come_late)
    client.start()
    time.sleep(0.2)
    assert late == []  # neither taken nor refused as long as the port is open
    taken = list(accept_all(listener))
    listener.close()
    assert sorted(one.getpeername()[1] for one in taken) == sorted(one.getsockname()[1] for one in before)
    for connection in taken:
        connection.sendall(b"answer")
    assert [connection.recv(100) for connection in before] == [b"answer"] * 3
    client.join(20)
    (outcome,) = late
    assert isinstance(outcome, ConnectionRefusedError)
    for connection in (*before, *taken):
        connection.close()
