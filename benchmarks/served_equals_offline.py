"""Compare the answers of a running service with those of the trained models that its release was exported from.

    python benchmarks/served_equals_offline.py RUN --url http://127.0.0.1:8000 [--queries 200] [-k 10]

Every kind of question that the run's spaces answer is put as often: next items after test histories; neighbours by id,
by several ids, by vector, by node type and across types; look-alikes of uploaded pictures. Offline answers come from
the PyTorch models and the trained tables, by brute force in float64. Ids and their order must be the same, but for
things whose scores differ by less than 1e-6, and scores within 1e-4; exits with 1 if any answer differs.
"""

import argparse
import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recsvc.data import make_split, read_dataset
from recsvc.pictures import preprocess
from training.image.cache import PictureCache
from training.image.space import ImageSpace
from training.offline import OfflineSpace, Thing, offline_space
from training.pipeline import trained_spaces
from training.run import Run
from training.sequence.data import prepare_sequences
from training.sequence.evaluate import sampled_histories
from training.sequence.offline import offline_next_items
from training.sequence.space import BehaviourSpace

TOLERANCE, TIE = 1e-4, 1e-6
Answer = list[tuple[Thing, float]]
Case = tuple[str, Answer, Answer]
"""Kind of question, offline answer, served answer."""


def main() -> int:
    """Run the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    asker = Asker(Run.open(arguments.run), arguments.url, arguments.queries, arguments.k, arguments.seed)
    kinds: dict[str, list[tuple[bool, bool, float]]] = {}
    for kind, expected, served in asker.cases():
        kinds.setdefault(kind, []).append(_compare(expected, served))
    for kind, found in kinds.items():
        same, good = sum(found[0] for found in found), sum(found[1] for found in found)
        ties = f" ({good - same} more but for ties below {TIE:g})" if good > same else ""
        print(
            f"{kind}: {same} of {len(found)} served answers equal the offline ones in ids and order{ties}; "
            f"largest score difference {max(found[2] for found in found):.2g}"
        )
    return 0 if all(good and worst <= TOLERANCE for found in kinds.values() for _, good, worst in found) else 1


def _compare(expected: Answer, served: Answer) -> tuple[bool, bool, float]:
    """Whether two answers are the same; whether they are but for ties; their largest score difference."""
    if len(expected) != len(served):
        return False, False, float("inf")
    same = [thing for thing, _ in expected] == [thing for thing, _ in served]
    worst = max((abs(a - b) for (_, a), (_, b) in zip(expected, served, strict=True)), default=0.0)
    scores = dict(expected)
    # A thing in another place, or one just beyond the last, has the score of the place that it is in.
    good = all(
        thing == other or abs(scores.get(other, b) - a) <= TIE
        for (thing, a), (other, b) in zip(expected, served, strict=True)
    )
    return same, good, worst


class Asker:
    """Questions of every kind, with both answers."""

    def __init__(self, run: Run, url: str, queries: int, k: int, seed: int) -> None:
        self._run, self._url, self._queries, self._k, self._seed = run, url, queries, k, seed
        self._item_type = run.catalogue().item_type

    def cases(self) -> Iterator[Case]:
        """All questions of all spaces."""
        for name in trained_spaces(self._run):
            if name == "behaviour":
                yield from self._next_items()
            space = offline_space(self._run, name)
            yield from self._neighbours(name, space)
            if name == "image":
                yield from self._uploads(space)

    def _next_items(self) -> Iterator[Case]:
        log = self._run.load_log()
        data = prepare_sequences(log, make_split(log, self._run.config.split))
        histories = sampled_histories(data, self._queries, self._seed)
        offline = offline_next_items(BehaviourSpace().load_model(self._run, data), histories, self._k)
        for history, rows in zip(histories, offline, strict=True):
            ids = data.ids_of(log, [row for row, _ in rows])
            expected = [((self._item_type, item), score) for item, (_, score) in zip(ids, rows, strict=True)]
            served = self._post("/v1/recommendations", {"history": data.ids_of(log, history), "k": self._k})
            yield "next items", expected, [((self._item_type, i["item_id"]), i["score"]) for i in served["items"]]

    def _neighbours(self, name: str, space: OfflineSpace) -> Iterator[Case]:
        rng = np.random.default_rng(self._seed)
        by_type: dict[str, list[int]] = {}
        for row, (node_type, _) in enumerate(space.things):
            by_type.setdefault(node_type, []).append(row)
        types = list(by_type)
        main = self._item_type if self._item_type in by_type else types[0]
        for _ in range(self._queries):
            rows = rng.choice(by_type[main], min(3, len(by_type[main])), replace=False).tolist()
            yield self._similar(f"{name} by id", name, space, rows[:1], {"node_type": main})
            yield self._similar(f"{name} by ids", name, space, rows, {"node_type": main})
            vector = rng.normal(size=space.vectors.shape[1])
            yield self._similar(f"{name} by vector", name, space, [], {"node_type": main}, vector)
            if len(types) > 1:
                asked, wanted = str(rng.choice(types)), sorted(rng.choice(types, 2, replace=False).tolist())
                row = int(rng.choice(by_type[asked]))
                yield self._similar(f"{name} by node type", name, space, [row], {"node_type": asked})
                options = {"node_type": asked, "target_types": wanted}
                yield self._similar(f"{name} across types", name, space, [row], options)

    def _similar(
        self,
        kind: str,
        name: str,
        space: OfflineSpace,
        rows: list[int],
        options: dict[str, Any],
        vector: np.ndarray | None = None,
    ) -> Case:
        things = [space.things[row] for row in rows]
        if vector is not None:
            question: dict[str, Any] = {"vector": vector.tolist()}
        elif len(rows) == 1:
            question = {"id": things[0][1]}
        else:
            question = {"ids": [node_id for _, node_id in things]}
        query = space.vectors[rows].mean(axis=0) if vector is None else vector
        types = set(options.get("target_types", [options["node_type"]]))
        expected = space.nearest(query, self._k, types=types, without=set(things))
        served = self._post("/v1/similar", {"space": name, "k": self._k, **question, **options})
        return kind, expected, [((i["node_type"], i["item_id"]), i["score"]) for i in served["items"]]

    def _uploads(self, space: OfflineSpace) -> Iterator[Case]:
        images = read_dataset(self._run.facts["dataset"], self._run.config.data).images
        assert images is not None
        cache = PictureCache.load(self._run.data("image"))
        model = ImageSpace().load_model(self._run, cache)
        rows = np.random.default_rng(self._seed).permutation(len(images))[: self._queries]
        for row in rows.tolist():
            content = images.read(row)
            with torch.inference_mode():
                query = model.features(torch.from_numpy(preprocess(content, cache.spec))[None])[0].double().numpy()
            expected = space.nearest(query, self._k, types={self._item_type}, without=set())
            served = self._upload(content)
            yield "image by upload", expected, [((i["node_type"], i["item_id"]), i["score"]) for i in served["items"]]

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._send(path, json.dumps(body).encode(), "application/json")

    def _upload(self, content: bytes) -> dict[str, Any]:
        parts = (
            b'--part\r\nContent-Disposition: form-data; name="k"\r\n\r\n' + str(self._k).encode() + b"\r\n",
            b'--part\r\nContent-Disposition: form-data; name="image"; filename="picture"\r\n\r\n' + content + b"\r\n",
            b"--part--\r\n",
        )
        return self._send("/v1/similar/image", b"".join(parts), "multipart/form-data; boundary=part")

    def _send(self, path: str, body: bytes, content_type: str) -> dict[str, Any]:
        request = urllib.request.Request(f"{self._url}{path}", body, {"Content-Type": content_type})
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: dict[str, Any] = json.load(answer)
        return content


if __name__ == "__main__":
    sys.exit(main())
