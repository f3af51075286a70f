"""What may be asked of next items: the options of a question, checked before anything is computed."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import BaseModel

from recsvc.answers.queries import check_question
from recsvc.errors import RequestError
from recsvc.search.filters import Filter, parse_filter

MAX_RULES: Final = 8
"""Boosts, or promotions, of one question."""
MAX_FACTOR: Final = 1e6


@dataclass(frozen=True, slots=True)
class Boost:
    """Items that are to come earlier, or later, than their score says; several boosts of an item multiply.

    Attributes:
        filter: Which items.
        factor: Multiplies their probability, so ``ln(factor)`` is added to their score; above 0, at most a million.

    Raises:
        RequestError: If it is not, or the filter, which may be given in its JSON form, is none.
    """

    filter: Filter
    factor: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "filter", as_filter(self.filter))
        if not 0 < self.factor <= MAX_FACTOR:
            raise RequestError(f"The factor of a boost is {self.factor}: it must be above 0, at most {MAX_FACTOR:.0f}.")


@dataclass(frozen=True, slots=True)
class Promotion:
    """Places that are kept for some items: the best scored of them are in the answer, where their score puts them.

    Attributes:
        filter: Which items.
        share: Of the ``k`` places, rounded down; above 0, at most 1. Places that too few items match go to others.

    Raises:
        RequestError: If it is not, or the filter, which may be given in its JSON form, is none.
    """

    filter: Filter
    share: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "filter", as_filter(self.filter))
        if not 0 < self.share <= 1:
            raise RequestError(f"The share of a promotion is {self.share}: it must be above 0, at most 1.")


@dataclass(frozen=True, slots=True)
class Question:
    """What comes next? ``Recommender.recommend`` says what each option means.

    Raises:
        RequestError: If an option has a value that it cannot have.
    """

    history: Sequence[str] = ()
    k: int = 10
    exclude: Collection[str] = ()
    exclude_seen: bool = True
    allow: Collection[str] | None = None
    filter: Filter | None = None
    diversity: float = 0.0
    diversity_space: str | None = None
    boosts: Sequence[Boost] = ()
    promotions: Sequence[Promotion] = ()
    strict: bool = False
    explain: bool = False
    already: Collection[str] = ()

    def __post_init__(self) -> None:
        check_question(self.k, history=self.history, exclude=self.exclude, allow=self.allow, already=self.already)
        if self.filter is not None:
            object.__setattr__(self, "filter", as_filter(self.filter))
        check_diversity(self.diversity)
        for name, rules in (("boosts", self.boosts), ("promotions", self.promotions)):
            if len(rules) > MAX_RULES:
                raise RequestError(f"There are {len(rules)} {name}: give at most {MAX_RULES}.")
        share = sum(promotion.share for promotion in self.promotions)
        if share > 1 + 1e-9:
            raise RequestError(f"The shares of the promotions are {share:g} together: they may be at most 1.")


def check_diversity(diversity: float) -> None:
    """Refuse a diversity that is no number from 0 to 1.

    Raises:
        RequestError: If it is none.
    """
    if not (math.isfinite(diversity) and 0 <= diversity <= 1):
        raise RequestError(f"diversity is {diversity}: give a number from 0 (none) to 1.")


def as_filter(value: Any) -> Filter:
    """A filter, which may be given in its JSON form.

    Raises:
        RequestError: If it is none.
    """
    if isinstance(value, BaseModel):  # it has been checked
        return cast(Filter, value)
    return parse_filter(value)
