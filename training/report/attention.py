"""Where the heads of a sequence model look: average attention by position, as in the heat maps of the BERT4Rec paper.

Sun et al. 2019, section 4: weights are averaged over histories by place counted from the newest item, for each layer
and head. What a head looks at is not what the answer depends on (Jain and Wallace, "Attention is not Explanation",
2019); the deletion test of the report measures that.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.report.parts import Charts, HeatMap, Line, LineChart
from training.report.reader import HistoryReader

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

# Places shown; what lies further back is one column.
_WIDEST = 15
_HEADS = 6
"""Lines that can be told apart in one chart."""


@dataclass(frozen=True)
class AverageAttention:
    """Mean weights over histories of at least ``width`` items, by place counted back from the newest."""

    layers: list[Float32]
    """For each layer [heads, R, 1 + R]: who asks, oldest place first and the asking position last; whom it reads, in
    the first column everything older than the places shown."""
    places: list[str]
    """[R] 1 is the newest item, M the [MASK]."""
    histories: int


def average_attention(reader: HistoryReader, targets: Int64) -> AverageAttention | None:
    """Average the weights over test histories.

    Args:
        reader: the model.
        targets: numbers of test targets.

    Returns:
        None if no history has two items. The width is what a good part of the histories reach, 15 at most.
    """
    histories = [reader.history(target) for target in targets.tolist()]
    lengths = np.array([len(history) for history in histories])
    if not len(lengths) or lengths.max() < 2:
        return None
    width = int(min(_WIDEST, max(2, np.quantile(lengths, 0.5))))
    sums: list[Float32] = []
    long_enough = [history for history in histories if len(history) >= width]
    for history in long_enough:
        for number, weights in enumerate(reader.attention(history)):
            part = _newest(weights, len(history), width)
            if number == len(sums):
                sums.append(np.zeros_like(part))
            sums[number] += part
    has_mask = sums[0].shape[1] == width + 1
    places = [str(place) for place in range(width, 0, -1)] + (["M"] if has_mask else [])
    return AverageAttention([total / np.float32(len(long_enough)) for total in sums], places, len(long_enough))


def attention_views(average: AverageAttention) -> tuple[Charts, Charts]:
    """Heat maps of all layers and heads, and where the asking position looks."""
    top = max(float(layer[:, :, 1:].max()) for layer in average.layers)
    has_mask = average.places[-1] == "M"
    labels = [place if place in {"M", "1"} or int(place) % 5 == 0 else "" for place in average.places]
    maps = [
        HeatMap(
            title=f"Layer {number}, head {head}",
            values=weights[:, 1:],
            older=weights[:, 0],
            rows=labels,
            columns=labels,
            top=top,
            summary=_in_words(weights[-1], ["older items", *average.places]),
        )
        for number, layer in enumerate(average.layers, start=1)
        for head, weights in enumerate(layer, start=1)
    ]
    asker = "M, the [MASK], asks for the next item" if has_mask else "it asks for the next one"
    heat = Charts(
        "Average attention, by layer and head",
        maps,
        note=f"Rows ask, columns are read. 1 is the newest item of the history; {asker}. The grey column is everything "
        f"older than the places shown, from none to all of the weight; of the others the darkest shade is {top:.2f}. "
        f"Mean over {average.histories:,} test histories; a row sums to one.",
        small=True,
    )
    shown = average.places[: len(average.places) - has_mask]
    charts = [
        LineChart(
            title=f"Layer {number}",
            x_label="items back from the newest",
            lines=[
                Line(name, [float(p) for p in shown][::-1], weights[1 : len(shown) + 1].tolist()[::-1], style=style)
                for style, (name, weights) in enumerate(_heads(layer[:, -1]))
            ],
            from_zero=True,
        )
        for number, layer in enumerate(average.layers, start=1)
    ]
    profile = Charts(
        "What the asking position reads",
        charts,
        note="The last rows of the maps above: a flat line reads the history as a bag, a steep one the newest items.",
        legend=charts[0].lines,
    )
    return heat, profile


def last_layer(reader: HistoryReader, history: Int64) -> Float32:
    """How much the asking position reads of each history item in the last layer, mean over heads, [n]."""
    weights: Float32 = reader.attention(history)[-1][:, -1, : len(history)].mean(axis=0)
    return weights


def rollout(reader: HistoryReader, history: Int64) -> Float32:
    """Attention followed through all layers, [n] (Abnar and Zuidema 2020: half a step stays on the residual path)."""
    layers = reader.attention(history)
    flow = np.eye(layers[0].shape[-1], dtype=np.float32)
    for layer in layers:
        flow = (0.5 * layer.mean(axis=0) + 0.5 * np.eye(len(flow), dtype=np.float32)) @ flow
    return flow[-1, : len(history)]


def _newest(weights: Float32, n: int, width: int) -> Float32:
    """The newest ``width`` places of weights [h, n', n'] (and a [MASK]'s), older columns summed up in front."""
    first = n - width
    kept = weights[:, first:, :]
    older: Float32 = kept[:, :, :first].sum(axis=2, keepdims=True)
    return np.concatenate([older, kept[:, :, first:]], axis=2)


def _heads(rows: Float32) -> list[tuple[str, Float32]]:
    """The heads' rows by name, or their mean where there are more than can be told apart."""
    if len(rows) > _HEADS:
        return [(f"mean of {len(rows)} heads", rows.mean(axis=0))]
    return [(f"head {number}", row) for number, row in enumerate(rows, start=1)]


def _in_words(asking: Float32, columns: list[str]) -> str:
    order = np.argsort(-asking)[:3]
    return "The asking position reads most of " + ", ".join(f"{columns[c]} ({asking[c]:.2f})" for c in order.tolist())
