"""Brute force over a tiny release: what next items must be, option by option, in plain Python."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

Predicate = Callable[[str], bool]


class Found(NamedTuple):
    """One item that must come back."""

    item_id: str
    score: float
    reason: str


def next_items(
    tiny: Any,
    history: Sequence[str] = (),
    *,
    k: int = 10,
    exclude: Collection[str] = (),
    exclude_seen: bool = True,
    allow: Collection[str] | None = None,
    already: Collection[str] = (),
    blocked: Collection[str] = (),
    passes: Predicate = lambda item_id: True,
    boosts: Sequence[tuple[Predicate, float]] = (),
    promotions: Sequence[tuple[Predicate, float]] = (),
    strict: bool = False,
) -> list[Found]:
    """The whole answer, best first."""
    banned = {*exclude, *already, *blocked, *(history if exclude_seen else ())}
    eligible = [i for i in tiny.ids if i not in banned and (allow is None or i in allow) and passes(i)]
    factor = {i: math.prod(by for matches, by in boosts if matches(i)) for i in tiny.ids}
    answer: list[Found] = []
    for reason, scored in tiny.rankings(history):
        if strict and reason != "sequence":
            continue
        chosen = {found.item_id for found in answer}
        ordered = sorted(
            (
                (i, score * factor[i] if reason == "popular" else score + math.log(factor[i]), row)
                for i, score, row in scored
                if i in eligible and i not in chosen
            ),
            key=lambda item: (-item[1], item[2]),
        )
        left = k - len(answer)
        answer += [] if left == 0 else _chosen(ordered, reason, left, () if answer else promotions)
    return answer


def _chosen(
    ordered: list[tuple[str, float, int]], reason: str, k: int, promotions: Sequence[tuple[Predicate, float]]
) -> list[Found]:
    """The first of a list, and what is promoted of it, in its order."""
    promoted: list[str] = []
    for matches, share in promotions:
        places = math.floor(share * k + 1e-9)
        promoted += [item_id for item_id, *_ in ordered if matches(item_id) and item_id not in promoted][:places]
    others = [item_id for item_id, *_ in ordered if item_id not in promoted][: k - len(promoted)]
    taken = {*promoted, *others}
    return [
        Found(item_id, score, "promoted" if item_id in promoted else reason)
        for item_id, score, _ in ordered
        if item_id in taken
    ]
