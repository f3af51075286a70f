"""What became of every request of a run, and the figures of it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CLOSED = 0
"""In place of a status: sent, and the connection closed, or the time ran out, before a whole answer."""
NOT_SENT = -1
"""In place of a status: no connection was free in time, or the server's port had closed."""

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)


@dataclass(frozen=True)
class Outcomes:
    """One run of a client. Times are seconds from its start.

    Attributes:
        planned: [N], when each request should have been sent.
        sent: [N], when it was.
        done: [N], when its answer was whole; 0 where none came.
        status: [N], HTTP status, ``CLOSED`` or ``NOT_SENT``.
        seconds: length of the run.
        busy: share of the time in which the client did something; near 1, it and not the server is the limit.
    """

    planned: npt.NDArray[np.float64]
    sent: npt.NDArray[np.float64]
    done: npt.NDArray[np.float64]
    status: npt.NDArray[np.int16]
    seconds: float
    busy: float

    def between(self, begin: float, end: float) -> "Outcomes":
        """The requests planned within a span of seconds."""
        first, last = np.searchsorted(self.planned, [begin, end])
        cut = slice(int(first), int(last))
        return Outcomes(self.planned[cut], self.sent[cut], self.done[cut], self.status[cut], end - begin, self.busy)

    def count(self, status: int) -> int:
        """How many requests ended so."""
        return int(np.count_nonzero(self.status == status))

    def codes(self) -> dict[str, int]:
        """How many requests ended in which way, by name."""
        names = {CLOSED: "no answer", NOT_SENT: "not sent"}
        found, counts = np.unique(self.status, return_counts=True)
        return {names.get(code, str(code)): n for code, n in zip(found.tolist(), counts.tolist(), strict=True)}

    @property
    def answered(self) -> int:
        """Requests with an answer, of any status."""
        return int(np.count_nonzero(self.status > 0))

    @property
    def failed(self) -> int:
        """Requests that were sent and got anything but a 200."""
        return int(np.count_nonzero((self.status != 200) & (self.status != NOT_SENT)))

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.count(200) / self.seconds

    def latencies_ms(self, *, status: int = 200, planned: bool = True) -> npt.NDArray[np.float64]:
        """Milliseconds of the answers of a status, from the planned time, or from the sending."""
        chosen = self.status == status
        latencies: npt.NDArray[np.float64] = self.done[chosen] - (self.planned if planned else self.sent)[chosen]
        return 1000 * latencies

    def lag_ms(self, percentile: float) -> float:
        """How late requests were sent, milliseconds: what the client, or its want of connections, adds."""
        sent = self.status != NOT_SENT
        return percentiles(1000 * (self.sent - self.planned)[sent], (percentile,))[0]


def percentiles(values: npt.NDArray[np.float64], wanted: tuple[float, ...] = PERCENTILES) -> tuple[float, ...]:
    """Percentiles as values that occurred: the least that is no smaller than that share of all; NaN of none."""
    if len(values) == 0:
        return (float("nan"),) * len(wanted)
    return tuple(np.percentile(values, wanted, method="inverted_cdf").tolist())
