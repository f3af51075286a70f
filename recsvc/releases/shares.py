"""Who gets which release where several are active: slots of a ten-thousandth of the traffic, kept from split to split.

A user's slot is a hash and never changes. A change of shares gives away as few slots as it can, so it moves as few
users as it can: an arm that ends moves only its own, and an arm that grows takes none from those that stay as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from recsvc.errors import ReleaseError

SLOTS: Final = 10_000
MAX_ACTIVE: Final = 16

Span = tuple[int, int]
"""Slots from the first number up to, not including, the second."""


def count_slots(shares: Sequence[tuple[str, float]]) -> dict[str, int]:
    """How many slots each release of a split gets.

    Raises:
        ReleaseError: If there are none or too many, a release comes twice, a share is not above 0 and at most 1 in
            steps of 0.0001, or they do not add up to 1.
    """
    counts = {release: round(share * SLOTS) if 0 < share <= 1 else 0 for release, share in shares}
    if len(counts) != len(shares):
        raise ReleaseError("A release comes twice in the split: give each release one share.")
    for release, share in shares:
        if counts[release] == 0 or abs(share * SLOTS - counts[release]) > 1e-6:
            raise ReleaseError(
                f"Release {release} cannot have the share {share:g}: shares are above 0, at most 1, in steps of 0.0001."
            )
    total = sum(counts.values())
    if total != SLOTS or len(counts) > MAX_ACTIVE:
        raise ReleaseError(
            f"A split is at most {MAX_ACTIVE} releases whose shares add up to 1: "
            f"these are {len(counts)} and make {total / SLOTS:g}."
        )
    return counts


def stacked(counts: Iterable[int]) -> list[list[Span]]:
    """One span after another, in order: where nothing was split before."""
    spans: list[list[Span]] = []
    start = 0
    for count in counts:
        spans.append([(start, start + count)])
        start += count
    return spans


def divide(wanted: Mapping[str, int], before: Mapping[str, Sequence[Span]]) -> dict[str, list[Span]]:
    """Give every release its number of slots, changing as few as can be.

    Args:
        wanted: How many slots each release gets; together ``SLOTS``.
        before: The slots as they were divided until now; may be empty.

    Returns:
        Sorted spans by release, in the order of ``wanted``. Together they hold every slot once.
    """
    kept = {release: _first(before.get(release, ()), count) for release, count in wanted.items()}
    owned = {slot for slots in kept.values() for slot in slots}
    free = iter([slot for slot in range(SLOTS) if slot not in owned])
    return {
        release: _spans(sorted([*slots, *(next(free) for _ in range(wanted[release] - len(slots)))]))
        for release, slots in kept.items()
    }


def _first(spans: Sequence[Span], count: int) -> list[int]:
    return [slot for start, end in spans for slot in range(start, end)][:count]


def _spans(slots: Sequence[int]) -> list[Span]:
    spans: list[Span] = []
    for slot in slots:
        if spans and spans[-1][1] == slot:
            spans[-1] = (spans[-1][0], slot + 1)
        else:
            spans.append((slot, slot + 1))
    return spans
