"""`swap` and `drain`: releases that change, and a server that ends, while requests go on."""

import json
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from load.bodies import filters_of, recommendation_requests
from load.client import Client, arrivals
from load.measure import PHASE_HEAD, open_phase, phase_row, saturation
from load.outcomes import CLOSED, NOT_SENT
from load.releases import Subject, drawn
from load.report import print_head, print_table
from load.server import recsvc_server
from load.setup import protocol, requests_of, settings_of, shape_of, subject_of

from recsvc.releases import Store

_POLL_S = 0.2
_SIGNAL_S, _DRAIN_S = 3.0, 30.0


def swap(arguments: Namespace) -> int:
    """Swaps between two releases with different catalogues; returns 1 if a request failed or an answer was mixed."""
    subjects = _two_releases(arguments)
    first, second = subjects
    Store(first.store).activate(first.release, actor="benchmark", reason="to be swapped")
    both = [[item for pair in zip(*pairs, strict=False) for item in pair] for pairs in _paired(first, second)]
    mixed = replace(first, histories=both, what=f"{first.what}; swapped with one of items of other ids")
    requests = recommendation_requests(
        both,
        k=arguments.k,
        filters=filters_of(first.folder / "catalogue.sqlite") if arguments.filters else [],
        filter_share=arguments.filters,
        unknown_share=0.0,
    )
    settings = {"poll_seconds": str(_POLL_S)} | settings_of(arguments)
    print_head("Swaps under half load", protocol(mixed, arguments))
    seen: Counter[str] = Counter()
    ids = [b'"item_id":"' + name for name in (b"a-", b"b-")]
    releases = [f'"release":"{subject.release}"'.encode() for subject in subjects]

    def check(number: int, status: int, body: bytes) -> None:
        if status == 200:
            counts = [body.count(name) for name in ids]
            named = [body.count(name) for name in releases]
            whole = sorted(named) == [0, 1] and counts[named.index(0)] == 0 and counts[named.index(1)] > 0
            seen[f"release {'ab'[named.index(1)]}" if whole else "mixed"] += 1

    with recsvc_server(first.store, workers=arguments.workers, settings=settings) as server:
        rate = saturation(server, requests, connections=arguments.busy, seconds=arguments.seconds) / 2
        rng = np.random.default_rng(arguments.seed)
        with Client(server.address, arguments.connections) as client:
            steady = open_phase(client, server, requests, arrivals(rate, arguments.seconds, rng))
            before = server.memory_mib()
            command = [sys.executable, str(Path(__file__).with_name("swapper.py")), str(first.store)]
            command += [f"{server.address[0]}:{server.address[1]}", second.release, first.release]
            swapper = subprocess.Popen([*command, str(arguments.swaps)], stdout=subprocess.PIPE)
            planned = arrivals(rate, 60.0 + 10.0 * arguments.swaps, rng)
            swapped = open_phase(
                client, server, requests, planned, on_answer=check, tick=lambda now: swapper.poll() is None
            )
            took = json.loads(swapper.communicate()[0] or b"[]")
            again = open_phase(client, server, requests, arrivals(rate, arguments.seconds, rng))
        after = server.memory_mib()
    names = ("steady", f"{len(took)} swaps", "steady again")
    rows = [phase_row(name, [phase]) for name, phase in zip(names, (steady, swapped, again), strict=True)]
    print_table(PHASE_HEAD, rows)
    failed = swapped.outcomes.failed + swapped.outcomes.count(NOT_SENT)
    print(
        f"Failed requests: {failed}. Answers: {dict(sorted(seen.items()))}. Seconds from an activation until it is "
        f"served: median {np.median(took):.2f}, most {np.max(took):.2f}, polled every {_POLL_S} s. Anonymous "
        f"memory {before['Anonymous']:.0f} MiB before, {after['Anonymous']:.0f} after; resident {before['Rss']:.0f}, "
        f"{after['Rss']:.0f}.\n"
    )
    return 1 if failed or seen["mixed"] or len(took) < arguments.swaps else 0


def drain(arguments: Namespace) -> int:
    """SIGTERM under half load, several times; returns 1 if a request that was sent got anything but a 200."""
    subject = subject_of(arguments)
    requests = requests_of(subject, arguments)
    print_head("SIGTERM under half load", protocol(subject, arguments))
    with recsvc_server(subject.store, workers=arguments.workers, settings=settings_of(arguments)) as server:
        peak = saturation(server, requests, connections=arguments.busy, seconds=arguments.seconds)
    rows = [_drain_once(subject, requests, peak / 2, arguments, number) for number in range(arguments.repeats)]
    head = ["rate/s", "sent", "200s", "200s of requests after SIGTERM", "other answers", "no answer"]
    print_table([*head, "not sent: port closed", "/readyz 503 after s", "exit after s", "exit code"], rows)
    return 1 if any(row[4] or row[5] or row[-1] for row in rows) else 0


def _drain_once(
    subject: Subject, requests: list[bytes], rate: float, arguments: Namespace, number: int
) -> list[object]:
    marks: dict[str, float] = {}
    with recsvc_server(subject.store, workers=arguments.workers, settings=settings_of(arguments)) as server:

        def watch(now: float) -> bool:
            if now >= _SIGNAL_S and "signal" not in marks:
                server.terminate()
                marks["signal"] = now
            elif "signal" in marks and "unready" not in marks and server.get("/readyz")[0] == 503:
                marks["unready"] = now
            if server.running():
                return True
            marks.setdefault("exit", now)
            return False

        rng = np.random.default_rng((arguments.seed, number))
        with Client(server.address, arguments.connections) as client:
            found = client.drive(arrivals(rate, _DRAIN_S, rng), requests, tick=watch, tick_seconds=0.05)
        code = server.wait(_DRAIN_S)
    late = found.between(marks["signal"], _DRAIN_S)
    closed, not_sent = found.count(CLOSED), found.count(NOT_SENT)
    other = found.answered - found.count(200)
    since = {name: moment - marks["signal"] for name, moment in marks.items()}
    return [
        *(rate, len(found.planned) - not_sent, found.count(200), late.count(200), other, closed, not_sent),
        *(since.get("unready", float("nan")), since.get("exit", float("nan")), code),
    ]


def _two_releases(arguments: Namespace) -> tuple[Subject, Subject]:
    """Two drawn releases of one shape in one store, without an id in common."""
    shape = shape_of(arguments)
    store = arguments.cache / f"swap-{shape.items}x{shape.dim}" / "store"
    first, second = (
        drawn(
            replace(shape, prefix=prefix, seed=shape.seed + number),
            arguments.cache,
            count=arguments.histories,
            store=store,
        )
        for number, prefix in enumerate(("a-", "b-"))
    )
    return first, second


def _paired(first: Subject, second: Subject) -> list[tuple[list[str], list[str]]]:
    return list(zip(first.histories, second.histories, strict=True))
