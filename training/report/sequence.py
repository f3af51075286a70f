"""What the report tells of a sequence model beside its figures: examples, whether to trust reasons, attention."""

from typing import Any

from training.progress import Reporter
from training.report.attention import attention_views, average_attention
from training.report.deletion import RANDOM, REASONS, Deletion, deletion_test
from training.report.examples import examples
from training.report.parts import Cell, Charts, Line, LineChart, Table, Text
from training.report.reader import HistoryReader
from training.run import Run

_SEED = 0
_ATTENTION_HISTORIES = 200
_DELETION_HISTORIES = 60
_KS = (1, 3, 5)
_ATTENTION = "attention, last layer"


def sequence_blocks(run: Run, reporter: Reporter) -> list[Any]:
    """Blocks on the `behaviour` model of a run."""
    if run.config.sequence.model.time_bias:
        return [Text("Reasons and attention", "Not shown: this model also needs the times of a history to be asked.")]
    reader = HistoryReader(run)
    reporter.line("report: reasons and attention")
    blocks: list[Any] = []
    found = examples(reader, seed=_SEED, exclude_seen=run.config.evaluation.exclude_seen)
    blocks += [found] if found else []
    blocks += _deletions(reader)
    average = average_attention(reader, reader.test_histories(_ATTENTION_HISTORIES, _SEED, at_least=2))
    blocks += attention_views(average) if average else []
    return blocks


def _deletions(reader: HistoryReader) -> list[Any]:
    targets = reader.test_histories(_DELETION_HISTORIES, _SEED, at_least=max(_KS) + 1)
    found = deletion_test(reader, targets, ks=_KS, methods=(REASONS, _ATTENTION, "newest"), seed=_SEED)
    if not found:
        return []
    names = list(dict.fromkeys(each.method for each in found))
    chart = LineChart(
        "Fall of log-probability",
        "history items deleted",
        [_line(name, [each for each in found if each.method == name], style) for style, name in enumerate(names)],
        names=[str(k) for k in _KS],
        from_zero=True,
    )
    rows = [
        (
            f"{each.method}, {each.k} deleted",
            [
                Cell(f"{each.drop.mean:.3f}", note=f"{each.drop.low:.3f} to {each.drop.high:.3f}"),
                Cell("")
                if each.method == RANDOM
                else Cell(
                    f"{each.over_random.mean:.3f}", note=f"{each.over_random.low:.3f} to {each.over_random.high:.3f}"
                ),
                Cell(f"{each.kept:.0%}"),
            ],
        )
        for each in sorted(found, key=lambda each: (each.k, names.index(each.method)))
    ]
    note = (
        f"On {len(targets)} test histories: the items named most important for the first recommendation are deleted "
        "from the history together, and the model is asked anew. Reasons deserve trust as far as their line lies above "
        "random deletion. Bars are 95% intervals."
    )
    return [
        Charts("Can the reasons be trusted?", [chart], note=note, legend=chart.lines),
        Table("Deletion test", ["Fall, nats", "Over random", "Still in first 10"], rows, folded=True),
    ]


def _line(name: str, found: list[Deletion], style: int) -> Line:
    return Line(
        name,
        [float(_KS.index(each.k)) for each in found],
        [each.drop.mean for each in found],
        [each.drop.low for each in found],
        [each.drop.high for each in found],
        style,
    )
