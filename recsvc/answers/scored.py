"""The items of an answer: what the catalogue says of what was ranked."""

from collections.abc import Callable
from time import perf_counter
from typing import Literal

from recsvc.answers.ranking import Ranked
from recsvc.answers.types import Reason, ScoredItem
from recsvc.releases import Catalogue

Stage = Literal["decode", "encode", "score", "filter", "diversify", "explain", "catalogue"]
StageObserver = Callable[[Stage, float], None]
"""Called with the name of a finished stage and the seconds that it took; a stage that a question does not need is
not reported."""


def scored_items(catalogue: Catalogue, ranked: Ranked, reason: Reason, observe: StageObserver) -> list[ScoredItem]:
    """Read what was ranked from the catalogue; what is promoted has that for its reason."""
    started = perf_counter()
    found = catalogue.items(ranked.catalogue_rows)
    items = [
        ScoredItem(item.item_id, item.node_type, score, reason, item.title, item.attributes, [])
        for item, score in zip(found, ranked.scores.astype(float).tolist(), strict=True)
    ]
    if ranked.promoted is not None:
        for place in ranked.promoted.nonzero()[0].tolist():
            items[place].reason = "promoted"
    observe("catalogue", perf_counter() - started)
    return items
