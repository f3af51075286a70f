"""`latency` and `peer`: the latency at fixed rates, what every stage takes, and the floor under it.

Rates are shares of the saturation of our service that a closed loop finds first; peers get the same. "One at a time" is
one connection that asks again when it has its answer: the whole of one request, with no queue in it.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from load.client import Client, closed_loop
from load.floor import measure_floor
from load.measure import PHASE_HEAD, Phase, closed_phase, phase_row, repeated, saturation
from load.outcomes import percentiles
from load.releases import Subject
from load.report import print_head, print_table
from load.server import Server, recsvc_server
from load.setup import protocol, requests_of, settings_of, subject_of

_SHARES = (("low", 0.05), ("half", 0.5), ("90 %", 0.9))
_WARM_UP_S = 2.0


def latency(arguments: Namespace) -> int:
    """Measure our service; returns the exit code."""
    subject = subject_of(arguments)
    requests = requests_of(subject, arguments)
    server = recsvc_server(subject.store, workers=arguments.workers, settings=settings_of(arguments))
    print_head("Latency", protocol(subject, arguments))
    with server:
        rows, single, stages = _measure(server, requests, _rates(server, requests, arguments), arguments)
        memory = server.memory_mib()
        ready = server.ready_s
    print_table(PHASE_HEAD, rows)
    _print_parts(single, stages, subject, arguments.k)
    print(
        f"Ready after {ready:.2f} s. Memory after the load: anonymous {memory['Anonymous']:.0f} MiB, "
        f"resident {memory['Rss']:.0f} MiB.\n"
    )
    return 0


def peer(arguments: Namespace) -> int:
    """Measure ours and a plain FastAPI + torch service of the same model, same requests; returns the exit code."""
    subject = subject_of(arguments)
    requests = requests_of(subject, arguments)
    print_head("Beside a plain service", protocol(subject, arguments), packages=["torch"])
    rows: list[list[object]] = []
    plain = Path(__file__).parent.parent / "peers" / "plain_service.py"
    peers = {
        f"plain, {style}": Server(
            [sys.executable, str(plain), str(subject.model), "--port", "{port}", "--style", style],
            ready_path="/docs",
        )
        for style in arguments.styles
    }
    ours = recsvc_server(subject.store, workers=arguments.workers, settings=settings_of(arguments))
    rates: list[tuple[str, float]] = []
    for name, server in {"recsvc": ours, **peers}.items():
        with server:
            rates = rates or _rates(server, requests, arguments)  # ours, then the same for all
            found, _, _ = _measure(server, requests, rates, arguments)
            memory = server.memory_mib()
            rows += [[name, *row, memory["Anonymous"]] for row in found]
    print_table(["service", *PHASE_HEAD, "anonymous MiB"], rows)
    return 0


def _rates(server: Server, requests: Sequence[bytes], arguments: Namespace) -> list[tuple[str, float]]:
    """The rates that were asked for, or shares of the server's saturation."""
    if arguments.rates:
        return [(f"{rate:g}/s", rate) for rate in arguments.rates]
    peak = saturation(server, requests, connections=arguments.busy, seconds=arguments.seconds)
    return [(f"{name} ({share * peak:.0f}/s)", share * peak) for name, share in _SHARES]


def _measure(
    server: Server, requests: Sequence[bytes], rates: list[tuple[str, float]], arguments: Namespace
) -> tuple[list[list[object]], Phase, dict[str, dict[str, float]]]:
    """Rows of the table, the phase of one at a time, and the stages of every load by its name."""
    with Client(server.address, 8) as client:
        closed_loop(client, requests, _WARM_UP_S)
    with Client(server.address, 1) as client:
        single = closed_phase(client, server, requests, arguments.seconds)
    rows = [phase_row("one at a time", [single], planned=False)]
    stages = {"one at a time": single.stages}
    with Client(server.address, arguments.connections) as client:
        for name, rate in rates:
            phases = repeated(client, server, requests, rate, arguments.seconds, arguments.repeats, arguments.seed)
            rows.append(phase_row(name, phases))
            stages[name] = phases[len(phases) // 2].stages
    with Client(server.address, arguments.busy) as client:
        full = closed_phase(client, server, requests, arguments.seconds)
    rows.append(phase_row(f"saturation ({arguments.busy} connections)", [full], planned=False))
    stages["saturation"] = full.stages
    return rows, single, stages


def _print_parts(single: Phase, stages: dict[str, dict[str, float]], subject: Subject, k: int) -> None:
    floor = measure_floor(subject, k=k)
    names = list(dict.fromkeys(name for found in stages.values() for name in found))
    names.sort(key=lambda name: name == "request")
    print("Mean µs a request by the service's own clock; `request` is the whole, from first byte to last:\n")
    print_table(["load", *names], [[load, *(found.get(name, 0.0) for name in names)] for load, found in stages.items()])
    whole = 1000 * percentiles(single.outcomes.latencies_ms(planned=False), (50.0,))[0]
    print("The floor, medians in µs, and the whole request, one at a time, over it:\n")
    print_table(
        ["raw encoder", "raw search", "floor", "request p50", "ratio"],
        [[floor.encode_us, floor.search_us, floor.whole_us, whole, whole / floor.whole_us]],
    )
