"""Whole HTTP requests, thousands of different ones, some with a filter and some with ids that nobody knows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recsvc.releases import Catalogue

_SAMPLED = 1000  # items whose attributes the filters are made of


def recommendation_requests(
    histories: Sequence[Sequence[str]],
    *,
    k: int,
    filters: list[dict[str, Any]],
    filter_share: float,
    unknown_share: float,
    seed: int = 0,
) -> list[bytes]:
    """One POST /v1/recommendations for every history.

    Args:
        histories: item ids, oldest first.
        k: items wanted.
        filters: drawn from for the requests that have one.
        filter_share: share of the requests with a filter.
        unknown_share: share of the requests in whose history one id is unknown.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    requests = []
    for number, history in enumerate(histories):
        ids = list(history)
        if rng.random() < unknown_share:
            ids.insert(int(rng.integers(len(ids) + 1)), f"nobody-knows-{number}")
        body: dict[str, Any] = {"history": ids, "k": k}
        if filters and rng.random() < filter_share:
            body["filter"] = filters[int(rng.integers(len(filters)))]
        requests.append(post("/v1/recommendations", body))
    return requests


def post(path: str, body: dict[str, Any]) -> bytes:
    """A request, head and body."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def filters_of(catalogue: Path, *, seed: int = 0) -> list[dict[str, Any]]:
    """Filters that items of a catalogue pass: a value of an attribute, or a range from a number on."""
    opened = Catalogue.open(catalogue)
    rows = np.random.default_rng(seed).permutation(opened.num_items)[:_SAMPLED]
    found: dict[str, dict[str, Any]] = {}
    for item in opened.items(rows):
        for name, values in item.attributes.items():
            value = values if isinstance(values, str) else next(iter(values), "")
            if not value or len(value) > 100:
                continue
            condition: dict[str, Any] = {"attribute": name, "eq": value}
            if value.isdecimal():
                condition = {"attribute": name, "gte": int(value)}
            found[json.dumps(condition)] = condition
    opened.close()
    return list(found.values())
