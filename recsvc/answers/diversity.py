"""Diversity of an answer: which candidates are looked at, in which space they are unlike, and who is taken."""

from typing import Final

import numpy as np

from recsvc.answers.bundle import Bundle, Space
from recsvc.answers.queries import CONTENT_SPACES, SEQUENCE_SPACE, unit_rows
from recsvc.answers.ranking import Ranked
from recsvc.errors import RequestError
from recsvc.search.diversify import maximal_marginal_relevance

_MOST_CANDIDATES: Final = 500


def candidates_for(k: int) -> int:
    """How many candidates ``k`` places are chosen from."""
    return max(k, min(max(50, 5 * k), _MOST_CANDIDATES))


def check_space(bundle: Bundle, name: str | None) -> None:
    """Refuse a space that is not in the release.

    Raises:
        RequestError: If it is not.
    """
    if name is not None and name not in bundle.spaces:
        there = ", ".join(sorted(bundle.spaces)) or "none"
        raise RequestError(f"Release {bundle.release} has no space {name!r} for diversity; it has: {there}.")


def diversified(bundle: Bundle, ranked: Ranked, k: int, *, diversity: float, space: str | None) -> Ranked:
    """``k`` of some candidates by maximal marginal relevance, in the order in which they are taken.

    Args:
        bundle: The release.
        ranked: The candidates; those that are promoted are all taken.
        k: How many to take.
        diversity: From 0 to 1.
        space: Where they are to be unlike. None: the first of the content spaces that knows half of them or more,
            else behaviour.
    """
    if len(ranked) == 0:
        return ranked
    place = bundle.spaces[space] if space is not None else _space_of(bundle, ranked)
    rows = place.row_of[ranked.catalogue_rows]
    units = np.zeros((len(ranked), place.dim), dtype=np.float32)
    units[rows >= 0] = unit_rows(place.vectors[rows[rows >= 0]])
    return ranked[maximal_marginal_relevance(ranked.scores, units, k, diversity=diversity, kept=ranked.promoted)]


def _space_of(bundle: Bundle, ranked: Ranked) -> Space:
    for name in CONTENT_SPACES:
        space = bundle.spaces.get(name)
        if space is not None and 2 * np.count_nonzero(space.row_of[ranked.catalogue_rows] >= 0) >= len(ranked):
            return space
    return bundle.spaces[SEQUENCE_SPACE]
