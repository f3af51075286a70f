"""Latency of a running service, asked by one client over one kept-alive connection.

    python benchmarks/http_latency.py RUN --url http://127.0.0.1:8000 [--requests 2000] [-k 10]

Histories are test histories of the run, each of its own length, drawn with a fixed seed; a tenth of the requests go
first and are not counted. Prints percentiles of the time from sending a request to the last byte of its answer.
"""

import argparse
import http.client
import json
import os
import urllib.parse
from pathlib import Path
from time import perf_counter

import numpy as np

from recsvc.data import make_split
from training.run import Run
from training.sequence.data import prepare_sequences
from training.sequence.evaluate import sampled_histories


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("-k", type=int, default=10)
    arguments = parser.parse_args()

    run = Run.open(arguments.run)
    log = run.load_log()
    data = prepare_sequences(log, make_split(log, run.config.split))
    histories = sampled_histories(data, 500, seed=2)
    bodies = [json.dumps({"history": data.ids_of(log, history), "k": arguments.k}) for history in histories]
    address = urllib.parse.urlsplit(arguments.url)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port)
    seconds = []
    for number in range(arguments.requests + arguments.requests // 10):
        started = perf_counter()
        connection.request(
            "POST", "/v1/recommendations", bodies[number % len(bodies)], {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        content = answer.read()
        seconds.append(perf_counter() - started)
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}: {content.decode()}")
    counted = np.array(seconds[arguments.requests // 10 :]) * 1000
    lengths = [len(history) for history in histories]
    print(
        f"{len(counted)} requests, {data.num_items} items, histories of {min(lengths)} to {max(lengths)} items "
        f"(median {int(np.median(lengths))}), k {arguments.k}, {os.cpu_count()} cores shared with the client"
    )
    print("ms: " + ", ".join(f"p{p} {np.percentile(counted, p):.2f}" for p in (50, 90, 99)))


if __name__ == "__main__":
    main()
