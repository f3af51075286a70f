"""`memory` and `sizing`: what a release costs, with one worker and with more, and by its size."""

from argparse import Namespace
from dataclasses import replace

import numpy as np
from load.bodies import post
from load.client import Client, arrivals, closed_loop
from load.measure import open_phase, saturation
from load.outcomes import percentiles
from load.releases import Subject, drawn
from load.report import codes_text, print_begin, print_head, print_row, print_table
from load.server import recsvc_server
from load.setup import protocol, requests_of, settings_of, shape_of, subject_of

_ASKED = 2000


def memory(arguments: Namespace) -> int:
    """Memory and time until ready, by number of workers; returns the exit code."""
    subject = subject_of(arguments)
    requests = requests_of(subject, arguments)
    requests += [post("/v1/similar", {"id": history[-1], "k": arguments.k}) for history in subject.histories[:200]]
    print_head("Memory", protocol(subject, arguments))
    rows: list[list[object]] = []
    for workers in arguments.counts:
        with recsvc_server(subject.store, workers=workers, settings=settings_of(arguments)) as server:
            fresh = server.memory_mib()["Anonymous"]
            with Client(server.address, 4 * workers) as client:
                asked = client.drive(np.zeros(max(_ASKED, len(requests))), requests, patience=float("inf"))
            used, mapped = server.memory_mib(), server.mapped_mib(subject.folder.resolve())
            row = [workers, len(server.pids()), server.ready_s, fresh, used["Anonymous"], used["Rss"], used["Pss"]]
            rows.append([*row, mapped["Pss"], mapped["Rss"], codes_text(asked.codes())])
    head = ["workers", "processes", "ready s", "anonymous MiB at first", "after the requests", "Rss", "Pss"]
    print_table([*head, "release files, Pss MiB", "release files, Rss MiB", "answers"], rows)
    print(f"The release's files have {_size_mib(subject):.1f} MiB. Sums over the service's processes.\n")
    return 0


def sizing(arguments: Namespace) -> int:
    """A table over catalogue sizes and widths; returns the exit code."""
    head = ["items", "d", "history", "search", "release MiB", "ready s", "anonymous MiB", "resident MiB"]
    first = True
    for text in arguments.sizes:
        items, dim = map(int, text.split("x"))
        shape = replace(shape_of(arguments), items=items, dim=dim)
        subject = drawn(shape, arguments.cache, count=arguments.histories)
        requests = requests_of(subject, arguments)
        if first:
            print_head("Sizing", [*protocol(subject, arguments)[1:], "drawn releases, one row each"])
            print_begin([*head, "200s/s at saturation", "p50 ms at half load", "p99 ms", "server CPU µs/request"])
            first = False
        with recsvc_server(subject.store, workers=arguments.workers, settings=settings_of(arguments)) as server:
            peak = saturation(server, requests, connections=arguments.busy, seconds=arguments.seconds)
            planned = arrivals(peak / 2, arguments.seconds, np.random.default_rng(arguments.seed))
            with Client(server.address, arguments.connections) as client:
                closed_loop(client, requests, 1.0)
                half = open_phase(client, server, requests, planned)
            used = server.memory_mib()
            p50, p99 = percentiles(half.outcomes.latencies_ms(), (50.0, 99.0))
            row = [items, dim, arguments.history, subject.search, _size_mib(subject), server.ready_s]
            print_row([*row, used["Anonymous"], used["Rss"], peak, p50, p99, half.cpu_us])
    return 0


def _size_mib(subject: Subject) -> float:
    return sum(path.stat().st_size for path in subject.folder.rglob("*") if path.is_file()) / 2**20
