"""One measured span of load: what the client saw, and what it cost the server."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from load.client import Client, OnAnswer, Tick, arrivals, closed_loop
from load.outcomes import Outcomes, percentiles
from load.report import codes_text, spread
from load.server import Server
from numpy.typing import NDArray

PHASE_HEAD = (
    *("load", "offered/s", "200s/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "answers"),
    *("server CPU µs/request", "client lag p99 ms", "client busy"),
)


@dataclass(frozen=True)
class Phase:
    """A span of load; stages are mean microseconds a request by the server's own clock."""

    outcomes: Outcomes
    cpu_us: float
    stages: dict[str, float]


def open_phase(
    client: Client,
    server: Server,
    requests: Sequence[bytes],
    planned: NDArray[np.float64],
    *,
    on_answer: OnAnswer | None = None,
    tick: Tick | None = None,
) -> Phase:
    """Requests at their planned times."""
    before, cpu = server.scrape(), server.cpu_seconds()
    outcomes = client.drive(planned, requests, on_answer=on_answer, tick=tick)
    return _phase(outcomes, server, cpu, server.scrape().since(before))


def closed_phase(client: Client, server: Server, requests: Sequence[bytes], seconds: float) -> Phase:
    """All connections of the client busy."""
    before, cpu = server.scrape(), server.cpu_seconds()
    outcomes = closed_loop(client, requests, seconds)
    return _phase(outcomes, server, cpu, server.scrape().since(before))


def saturation(server: Server, requests: Sequence[bytes], *, connections: int, seconds: float) -> float:
    """Good answers a second with so many connections kept busy, after a warm-up of a quarter of the time."""
    with Client(server.address, connections) as client:
        closed_loop(client, requests, max(1.0, seconds / 4))
        return closed_loop(client, requests, seconds).rate


def repeated(
    client: Client, server: Server, requests: Sequence[bytes], rate: float, seconds: float, repeats: int, seed: int
) -> list[Phase]:
    """The same rate several times, every time with other Poisson arrivals."""
    phases = []
    for number in range(repeats):
        planned = arrivals(rate, seconds, np.random.default_rng((seed, number)))
        phases.append(open_phase(client, server, requests, planned))
    return phases


def phase_row(name: str, phases: Sequence[Phase], *, planned: bool = True) -> list[object]:
    """A row under PHASE_HEAD: medians over the repeats, least and most in brackets."""
    found = [phase.outcomes for phase in phases]
    by_run = [percentiles(outcomes.latencies_ms(planned=planned)) for outcomes in found]
    codes: dict[str, int] = {}
    for outcomes in found:
        for code, count in outcomes.codes().items():
            codes[code] = codes.get(code, 0) + count
    offered = [len(outcomes.planned) / outcomes.seconds for outcomes in found]
    return [
        name,
        spread(offered) if planned else "-",
        spread([outcomes.rate for outcomes in found]),
        *(spread(column) for column in zip(*by_run, strict=True)),
        codes_text(codes),
        spread([phase.cpu_us for phase in phases]),
        spread([outcomes.lag_ms(99.0) for outcomes in found]) if planned else "-",
        f"{max(outcomes.busy for outcomes in found):.0%}",
    ]


def _phase(outcomes: Outcomes, server: Server, cpu_before: float, stages: dict[str, float]) -> Phase:
    cpu_us = 1e6 * (server.cpu_seconds() - cpu_before) / max(1, outcomes.answered)
    return Phase(outcomes, cpu_us, stages)
