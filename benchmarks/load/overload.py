"""`overload` and `soak`: more than the server can do, and half of it for long."""

from argparse import Namespace

import numpy as np
from load.client import Client, arrivals
from load.measure import PHASE_HEAD, open_phase, phase_row, saturation
from load.outcomes import Outcomes, percentiles
from load.report import codes_text, print_begin, print_head, print_row, print_table
from load.server import recsvc_server
from load.setup import protocol, requests_of, settings_of, subject_of

_BESIDE_S = 10.0  # of half load, before and after the overload
_WINDOW_S = 0.5
_SLOWER, _SLOW_MS = 2.0, 10.0
_MANY = 1024  # connections: as many requests wait at once


def overload(arguments: Namespace) -> int:
    """Several times saturation, with half load before and after in the same run; returns the exit code."""
    subject = subject_of(arguments)
    requests = requests_of(subject, arguments)
    print_head("Overload", protocol(subject, arguments))
    rng = np.random.default_rng(arguments.seed)
    memory: list[tuple[float, float]] = []
    with recsvc_server(subject.store, workers=arguments.workers, settings=settings_of(arguments)) as server:
        peak = saturation(server, requests, connections=arguments.busy, seconds=arguments.seconds)
        before = arrivals(peak / 2, _BESIDE_S, rng)
        much = before[-1] + arrivals(arguments.times * peak, arguments.duration, rng)
        after = much[-1] + arrivals(peak / 2, _BESIDE_S, rng)

        def sample(now: float) -> bool:
            memory.append((now, server.anonymous_mib()))
            server.forget_log()
            return True

        with Client(server.address, max(_MANY, arguments.connections)) as client:
            found = client.drive(np.concatenate([before, much, after]), requests, patience=1.0, tick=sample)
    spans = {
        "half load before": (0.0, before[-1]),
        f"{arguments.times:g} x saturation": (before[-1], much[-1]),
        "half load after": (much[-1], after[-1]),
    }
    rows = []
    for name, (begin, end) in spans.items():
        span = found.between(begin, end)
        refused = np.concatenate([span.latencies_ms(status=code, planned=False) for code in (429, 503)])
        used = [mib for moment, mib in memory if begin <= moment <= end]
        row: list[object] = [name, len(span.planned) / span.seconds, span.rate, span.rate / peak]
        row += [*percentiles(span.latencies_ms(), (50.0, 99.0)), percentiles(refused, (99.0,))[0]]
        row += [codes_text(span.codes()), span.lag_ms(99.0), *((min(used), max(used)) if used else ("-", "-"))]
        rows.append(row)
    head = ["load", "offered/s", "200s/s", "of peak", "p50 ms", "p99 ms", "p99 ms of refusals, from sending"]
    print_table([*head, "answers", "client lag p99 ms", "anonymous MiB, least", "most"], rows)
    seconds = recovery_seconds(found, before[-1], much[-1], after[-1])
    print(
        f"Peak {peak:.0f} requests/s (closed loop, {arguments.busy} connections). Recovery: {seconds:.1f} s after the "
        f"overload until every window of {_WINDOW_S:g} s is all 200s, with p99 at most {_SLOW_MS:g} ms or {_SLOWER:g} "
        f"times that of before. Client busy {found.busy:.0%}.\n"
    )
    return 0


def recovery_seconds(found: Outcomes, begin: float, overload_end: float, end: float) -> float:
    """Seconds from the end of an overload to the window from which all windows are as before it."""
    limit = max(_SLOW_MS, _SLOWER * percentiles(found.between(0.0, begin).latencies_ms(), (99.0,))[0])
    windows = np.arange(overload_end, end - _WINDOW_S, _WINDOW_S).tolist()
    recovered = overload_end
    for window in windows:
        span = found.between(window, window + _WINDOW_S)
        if span.count(200) < len(span.planned) or percentiles(span.latencies_ms(), (99.0,))[0] > limit:
            recovered = window + _WINDOW_S
    return float(recovered - overload_end)


def soak(arguments: Namespace) -> int:
    """Half load for minutes: whether memory grows; returns the exit code."""
    subject = subject_of(arguments)
    requests = requests_of(subject, arguments)
    print_head("Soak", protocol(subject, arguments))
    with recsvc_server(subject.store, workers=arguments.workers, settings=settings_of(arguments)) as server:
        peak = saturation(server, requests, connections=arguments.busy, seconds=arguments.seconds)
        used = [server.memory_mib()["Anonymous"]]
        print_begin(["minute", *PHASE_HEAD[1:], "anonymous MiB"])
        with Client(server.address, arguments.connections) as client:
            for minute in range(arguments.minutes):
                planned = arrivals(peak / 2, 60.0, np.random.default_rng((arguments.seed, minute)))
                phase = open_phase(client, server, requests, planned)
                server.forget_log()
                used.append(server.memory_mib()["Anonymous"])
                print_row([*phase_row(str(minute + 1), [phase]), used[-1]])
    settled = used[1 + len(used) // 10 :]
    slope = np.polyfit(np.arange(len(settled)), settled, 1)[0] if len(settled) > 1 else float("nan")
    print(
        f"\nAnonymous memory: {used[0]:.1f} MiB before, {used[-1]:.1f} after; slope {slope:+.3f} MiB a minute by least "
        f"squares over the last {len(settled)} minutes.\n"
    )
    return 0
