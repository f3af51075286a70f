"""Promotions: places of an answer that are kept for the best scored of some items."""

import math
from collections.abc import Sequence

import numpy as np

from recsvc.answers.bundle import Bundle
from recsvc.answers.eligibility import Eligible
from recsvc.answers.questions import Promotion
from recsvc.answers.ranking import Ranked, Ranker


def with_promotions(
    bundle: Bundle, ranker: Ranker, promotions: Sequence[Promotion], *, k: int, candidates: int, may: Eligible
) -> Ranked:
    """The best items and those promoted, all in the order of their scores.

    Each promotion takes its places from what the ones before it have left.

    Args:
        bundle: The release.
        ranker: What scores the items.
        promotions: At least one.
        k: The places of the answer.
        candidates: ``k``, or more where the items that are not promoted are still to be chosen from.
        may: What may come back.

    Returns:
        The promoted items, and as many others as to make ``candidates`` in all, or what there is.

    Raises:
        RequestError: If the catalogue has none of an attribute that a filter names.
    """
    parts = []
    for promotion in promotions:
        mask = bundle.attributes.mask(promotion.filter)
        places = math.floor(promotion.share * k + 1e-9)  # 0.29 of 100 is 28.999999999999996
        if places:
            parts.append(ranker.best(places, may.only(mask)))
            may = may.without(parts[-1].catalogue_rows)
    count = sum(map(len, parts))
    if candidates > count:
        parts.append(ranker.best(candidates - count, may))
    rows = np.concatenate([part.rows for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    merged = Ranked(
        rows=rows,
        catalogue_rows=np.concatenate([part.catalogue_rows for part in parts]),
        scores=scores,
        promoted=np.arange(len(rows)) < count,
    )
    return merged[np.lexsort((rows, -scores))]
