"""Compare the answers of a running service with those of the PyTorch model that its release was exported from.

    python benchmarks/served_equals_offline.py RUN --url http://127.0.0.1:8000 [--histories 200] [-k 10]

Histories are drawn from the test targets. Ids and their order must be the same, and scores within 1e-4; exits with 1
if any answer differs.
"""

import argparse
import json
import sys
import urllib.request
from pathlib import Path

from recsvc.data import make_split
from training.run import Run
from training.sequence.data import prepare_sequences
from training.sequence.evaluate import sampled_histories
from training.sequence.offline import offline_next_items
from training.sequence.space import BehaviourSpace

TOLERANCE = 1e-4


def main() -> int:
    """Run the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--histories", type=int, default=200)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    run = Run.open(arguments.run)
    log = run.load_log()
    data = prepare_sequences(log, make_split(log, run.config.split))
    model = BehaviourSpace().load_model(run, data)
    histories = sampled_histories(data, arguments.histories, arguments.seed)
    offline = offline_next_items(model, histories, arguments.k)

    equal, worst = 0, 0.0
    for history, expected in zip(histories, offline, strict=True):
        ids = data.ids_of(log, history)
        served = _recommend(arguments.url, ids, arguments.k)
        wanted = data.ids_of(log, [row for row, _ in expected])
        same = [item["item_id"] for item in served["items"]] == wanted and not served["unknown"]
        if same:
            differences = (abs(i["score"] - s) for i, (_, s) in zip(served["items"], expected, strict=True))
            worst = max(worst, *differences)
        equal += same
    print(
        f"{equal} of {len(histories)} served answers equal the offline ones in ids and order; "
        f"largest score difference {worst:.2g}"
    )
    return 0 if equal == len(histories) and worst <= TOLERANCE else 1


def _recommend(url: str, history: list[str], k: int) -> dict[str, list[dict[str, float]]]:
    body = json.dumps({"history": history, "k": k}).encode()
    request = urllib.request.Request(f"{url}/v1/recommendations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        content: dict[str, list[dict[str, float]]] = json.load(answer)
    return content


if __name__ == "__main__":
    sys.exit(main())
