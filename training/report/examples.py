"""Single histories: what came next, what the model recommends, and which items of the history it owes that to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.answers.reasons import Reasons
from recsvc.search import top_k
from training.report.parts import Block, HeatMap
from training.report.reader import HistoryReader

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_SHOWN = 12  # newest items of a history
_LIST = 5
_REASONS = 3
_LEAST = 0.005  # nats: half a per cent
_POOL = 400  # test histories among which the examples are looked for


@dataclass(frozen=True)
class Reason:
    """An item of the history, and by what share a recommendation would be less likely without it."""

    title: str
    less: str


@dataclass(frozen=True)
class Recommended:
    """One place of the list."""

    title: str
    probability: str
    came_next: bool
    reasons: list[Reason]


@dataclass(frozen=True)
class HistoryItem:
    """An item of the history, with its part in the list as a whole (1: the largest of this history)."""

    title: str
    part: float
    less: str


@dataclass(frozen=True)
class Example:
    """One test history."""

    next_title: str
    rank: int
    of: int
    history: list[HistoryItem]
    """Newest first."""
    earlier: int
    unread: int
    recommended: list[Recommended]
    attention: HeatMap


def examples(reader: HistoryReader, *, seed: int, exclude_seen: bool, count: int = 2) -> Block | None:
    """Up to ``count`` test histories whose next item stands in the first ten, and as many where it does not.

    Args:
        reader: the model.
        seed: of the draw.
        exclude_seen: whether items of the history leave the ranking.
        count: of each kind.
    """
    hits: list[Example] = []
    misses: list[Example] = []
    for target in reader.test_histories(_POOL, seed, at_least=3).tolist():
        if len(hits) == len(misses) == count:
            break
        scores = _ranking(reader, target, exclude_seen)
        rank = 1 + int((scores > scores[reader.data.test.items[target]]).sum())
        kind = hits if rank <= 10 else misses
        if len(kind) < count and np.isfinite(scores[reader.data.test.items[target]]):
            kind.append(_example(reader, target, scores, rank))
    if not hits and not misses:
        return None
    return Block(
        "examples",
        "Examples",
        [*hits, *misses],
        note=f"Test histories drawn at random: {len(hits)} whose next item the model ranks among its first ten, and "
        f"{len(misses)} where it does not; how often each happens, the figures say. Percentages are by how much the "
        "recommendation would be less likely, among all items, had this item not been in the history; beside the "
        "history, the same for the whole list.",
    )


def _ranking(reader: HistoryReader, target: int, exclude_seen: bool) -> Float32:
    scores = reader.scores(reader.history(target))
    if exclude_seen:
        scores[reader.whole_history(target)] = -np.inf
    return scores


def _example(reader: HistoryReader, target: int, scores: Float32, rank: int) -> Example:
    history, following = reader.history(target), int(reader.data.test.items[target])
    best = top_k(scores, _LIST)
    best = best[np.isfinite(scores[best])]
    found = reader.reasons(history, best)
    whole = reader.whole_history(target)
    return Example(
        next_title=reader.titles([following])[0],
        rank=rank,
        of=int(np.isfinite(scores).sum()),
        history=_history_items(reader, history, found),
        earlier=max(0, len(history) - _SHOWN),
        unread=len(whole) - len(history),
        recommended=[
            Recommended(
                title=reader.titles([row])[0],
                probability=percent(float(np.exp(found.log_probabilities[place]))),
                came_next=row == following,
                reasons=_reasons(reader, history, found, place),
            )
            for place, row in enumerate(best.tolist())
        ],
        attention=_attention(reader, history),
    )


def _history_items(reader: HistoryReader, history: Int64, found: Reasons) -> list[HistoryItem]:
    drops = found.of_list()
    top = max(float(drops.max()), 1e-9)
    places = range(len(history) - 1, max(-1, len(history) - 1 - _SHOWN), -1)
    return [
        HistoryItem(reader.titles([history[at]])[0], max(0.0, float(drops[at]) / top), less(float(drops[at])))
        for at in places
    ]


def _reasons(reader: HistoryReader, history: Int64, found: Reasons, place: int) -> list[Reason]:
    """The strongest different items whose share can be seen."""
    by_item: dict[int, float] = {}
    for at in found.strongest(place, len(history)).tolist():
        if found.drops[place, at] < _LEAST:
            break
        by_item.setdefault(int(history[at]), float(found.drops[place, at]))
    return [Reason(reader.titles([row])[0], less(drop)) for row, drop in list(by_item.items())[:_REASONS]]


def _attention(reader: HistoryReader, history: Int64) -> HeatMap:
    """What the asking position reads of the newest items, a row for each layer and head."""
    newest = min(_SHOWN, len(history))
    rows, names = [], []
    for number, layer in enumerate(reader.attention(history), start=1):
        for head, weights in enumerate(layer, start=1):
            rows.append(weights[-1, len(history) - newest : len(history)][::-1])
            names.append(f"L{number} h{head}")
    values = np.array(rows)
    strongest = np.unravel_index(int(values.argmax()), values.shape)
    return HeatMap(
        title="Attention of the asking position",
        values=values,
        rows=names,
        columns=[str(place) for place in range(1, newest + 1)],
        top=max(float(values.max()), 1e-9),
        summary=f"Attention of each layer and head to the newest {newest} items; the most, {values.max():.2f}, is what "
        f"{names[strongest[0]]} reads of item {strongest[1] + 1}",
    )


def less(drop: float) -> str:
    """A drop in nats as the share by which something gets less likely (or more)."""
    change = np.expm1(-drop)
    if abs(change) < 0.005:
        return "0%"
    return f"−{-change:.0%}" if change < 0 else f"+{change:.0%}"  # noqa: RUF001  (a minus sign)


def percent(share: float) -> str:
    """A small share with two figures that count."""
    return f"{share:.1%}" if share >= 0.01 else f"{share:.2%}"
