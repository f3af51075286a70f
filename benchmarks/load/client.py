"""An open-loop HTTP client: requests have planned times, and a slow answer delays no later request.

A client that waits for an answer before it asks again leaves out just the requests that would have met a full queue
(coordinated omission). Here latency counts from the planned time, whenever the request could be sent. One thread,
raw sockets that are kept alive, and an epoll loop that spins between events, so that the client's own wake-ups are in
no figure: give it a core of its own. It costs some 20 microseconds a request.
"""

import gc
import select
import socket
from array import array
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Self

import numpy as np
import numpy.typing as npt
from load.outcomes import CLOSED, NOT_SENT, Outcomes

_BURST = 8  # sends between two looks at what has arrived
_READ = 1 << 16
_EARLY = 0.001  # seconds that a wait ends early, since epoll counts in milliseconds; the rest is spun
_NAP = 0.05

OnAnswer = Callable[[int, int, bytes], object]
"""Called with the number of a request, the status and the body of its answer."""
Tick = Callable[[float], bool]
"""Called now and then with the seconds so far; False ends the sending."""


class _Connection:
    """One kept-alive connection and the answer that arrives on it."""

    __slots__ = ("number", "received", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=2)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.number = -1  # of the request that is under way
        self.received = b""


class _Run:
    """Where one run stands."""

    def __init__(
        self, planned: npt.NDArray[np.float64], requests: Sequence[bytes], *, patience: float, stop: float
    ) -> None:
        self.times = array("d", planned.tobytes())
        self.requests = requests
        self.patience = patience
        self.stop = stop
        self.total = len(planned)
        self.sent, self.done = array("d", bytes(8 * self.total)), array("d", bytes(8 * self.total))
        self.status = array("h", [NOT_SENT]) * self.total
        self.number = 0  # the next to send
        self.under_way = 0
        self.busy = 0.0
        self.start = 0.0

    def wait(self, now: float, next_tick: float) -> float:
        """Seconds that nothing can happen; none while an answer is awaited."""
        if self.under_way or self.number >= self.total:
            return 0.0
        return max(min(self.times[self.number] - now - _EARLY, next_tick - now, _NAP), 0.0)

    def outcomes(self) -> Outcomes:
        """What became of the requests so far."""
        seconds = perf_counter() - self.start
        return Outcomes(
            planned=np.frombuffer(self.times)[: self.number],
            sent=np.frombuffer(self.sent)[: self.number],
            done=np.frombuffer(self.done)[: self.number],
            status=np.frombuffer(self.status, dtype=np.int16)[: self.number],
            seconds=seconds,
            busy=self.busy / seconds,
        )


class Client:
    """A pool of connections to one server; use it as a context.

    Args:
        address: host and port.
        connections: requests under way at most; one that finds all of them busy waits, and its latency says so.
    """

    def __init__(self, address: tuple[str, int], connections: int) -> None:
        self._address = address
        self._limit = connections
        self._poller = select.epoll()
        self._open: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []  # the last used is used first
        self._refused = False
        self._run: _Run

    def __enter__(self) -> Self:
        self._idle += [self._connect() for _ in range(self._limit)]
        return self

    def __exit__(self, *exception: object) -> None:
        for connection in list(self._open.values()):
            self._drop(connection)
        self._poller.close()

    def drive(
        self,
        planned: npt.NDArray[np.float64],
        requests: Sequence[bytes],
        *,
        send_until: float | None = None,
        patience: float = 5.0,
        grace: float = 10.0,
        on_answer: OnAnswer | None = None,
        tick: Tick | None = None,
        tick_seconds: float = 1.0,
    ) -> Outcomes:
        """Send request ``n % len(requests)`` at ``planned[n]`` seconds from now; return once all is answered.

        Args:
            planned: [N], ascending; zeros make a closed loop over all connections.
            requests: whole requests, head and body.
            send_until: no request is sent after so many seconds; the last planned time and ``patience`` if None.
            patience: a request that has found no free connection for so many seconds is given up.
            grace: seconds that the last answers get.
            on_answer, tick: hooks, called between events; their time is the client's.
            tick_seconds: between two ticks.
        """
        stop = float(planned[-1]) + patience if send_until is None else send_until
        run = _Run(planned, requests, patience=patience, stop=stop)
        self._run = run
        next_tick = tick_seconds if tick else float("inf")
        gc.collect()
        gc.disable()
        run.start = perf_counter()
        try:
            while True:
                now = perf_counter() - run.start
                if now >= next_tick and tick is not None:
                    next_tick = now + tick_seconds
                    if not tick(now):
                        run.stop = now
                if now >= run.stop:
                    run.total = run.number
                worked = self._send_due(now)
                if run.number >= run.total and (not run.under_way or now > run.stop + grace):
                    break
                events = self._poller.poll(run.wait(now, next_tick))
                if events:
                    worked = True
                    self._take(events, on_answer)
                if worked:
                    run.busy += perf_counter() - run.start - now
        finally:
            gc.enable()
        for connection in [connection for connection in self._open.values() if connection.number >= 0]:
            self._drop(connection)
        return run.outcomes()

    def _send_due(self, now: float) -> bool:
        """Send what is due, a few at a time; whether anything was."""
        run = self._run
        worked = False
        for _ in range(_BURST):
            number = run.number
            if number >= run.total or run.times[number] > now:
                break
            if self._refused or now - run.times[number] > run.patience:
                run.number += 1
                continue
            connection = self._free()
            if connection is None:
                break
            worked = True
            run.sent[number] = now
            if self._send(connection, number, run.requests[number % len(run.requests)]):
                run.status[number] = CLOSED  # until an answer says otherwise
                run.number += 1
                run.under_way += 1
            now = perf_counter() - run.start
        return worked

    def _take(self, events: list[tuple[int, int]], on_answer: OnAnswer | None) -> None:
        """Take in what has arrived; all of it had arrived by now, however long its reading takes."""
        run = self._run
        arrived = perf_counter() - run.start
        for descriptor, _ in events:
            connection = self._open[descriptor]
            asked = connection.number
            if asked < 0:  # the server closes an idle connection, perhaps with a word of farewell
                self._drop(connection)
                continue
            answer = self._receive(connection)
            if connection.number < 0:
                run.under_way -= 1
                if answer is not None:
                    run.done[asked] = arrived
                    run.status[asked] = answer[0]
                    if on_answer is not None:
                        on_answer(asked, *answer)

    def _connect(self) -> _Connection:
        connection = _Connection(self._address)
        self._open[connection.socket.fileno()] = connection
        self._poller.register(connection.socket, select.EPOLLIN)
        return connection

    def _free(self) -> _Connection | None:
        """A connection that is idle, or a new one in place of one that the server has closed."""
        if self._idle:
            return self._idle.pop()
        if len(self._open) >= self._limit:
            return None
        try:
            return self._connect()
        except ConnectionRefusedError:
            self._refused = True  # the server has closed its port: what follows is not sent
        except OSError:
            pass  # no answer within the time-out: tried again at the next turn
        return None

    def _send(self, connection: _Connection, number: int, request: bytes) -> bool:
        """Whether the request went out; the server may have closed the connection while it was idle."""
        try:
            if connection.socket.send(request) != len(request):
                raise RuntimeError("a request does not fit into the socket's buffer: it is too long for this client")
        except OSError:
            self._drop(connection)
            return False
        connection.number = number
        return True

    def _receive(self, connection: _Connection) -> tuple[int, bytes] | None:
        """Status and body once the answer is whole; the connection's ``number`` is -1 when its request is over."""
        try:
            chunk = connection.socket.recv(_READ)
        except BlockingIOError:
            return None
        except OSError:
            chunk = b""
        if not chunk:
            self._drop(connection)
            return None
        received = connection.received + chunk if connection.received else chunk
        head_end = received.find(b"\r\n\r\n")
        if head_end >= 0:
            head = received[:head_end].lower()
            place = head.find(b"\r\ncontent-length:")
            if place < 0:
                raise RuntimeError(f"an answer without Content-Length: {head[:200]!r}")
            length = int(head[place + 17 :].split(b"\r\n", 1)[0])
            if len(received) >= head_end + 4 + length:
                connection.received = b""
                connection.number = -1
                if b"\r\nconnection: close" in head:
                    self._drop(connection)
                else:
                    self._idle.append(connection)
                return int(received[9:12]), received[head_end + 4 :]
        connection.received = received
        return None

    def _drop(self, connection: _Connection) -> None:
        """Close and forget a connection."""
        connection.number = -1
        self._open.pop(connection.socket.fileno(), None)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.socket.close()  # which also takes it from the poller


def closed_loop(
    client: Client, requests: Sequence[bytes], seconds: float, *, on_answer: OnAnswer | None = None
) -> Outcomes:
    """Keep every connection of the client busy for so many seconds: what the server can do at most."""
    planned = np.zeros(int(seconds * 30_000))
    return client.drive(planned, requests, send_until=seconds, patience=float("inf"), on_answer=on_answer)


def arrivals(rate: float, seconds: float, rng: np.random.Generator | None) -> npt.NDArray[np.float64]:
    """Planned times at a rate per second, evenly spaced where ``rng`` is None.

    Else those of a Poisson process, given that there were just ``rate * seconds`` of them: uniform, then sorted.
    """
    count = max(1, round(rate * seconds))
    if rng is None:
        return np.arange(count) / rate
    return np.sort(rng.uniform(0.0, seconds, size=count))
