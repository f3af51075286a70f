"""By which figure trainings of a space are compared, and where it is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.files import read_json_lines
from training.run import Run

PREPARED_BY = (
    "data",
    "split",
    "graph.item_type",
    "graph.user_type",
    "graph.interactions",
    "graph.directed",
    "graph.corpus",
    "image.size",
    "sequence.model.attributes",
)
"""Settings that change what is prepared of the data set; runs that differ in one cannot share it."""


@dataclass(frozen=True)
class Objective:
    """How a space is judged without its test set.

    Attributes:
        space: its name.
        section: of the configuration.
        seed: key of the setting that seeds a training.
        metric: the validation metric to maximise; None for a space that does not validate.
        loop: section of the shared loop's settings, if the space trains in it.
        shifts: settings that change the validation's questions, so that figures under two values do not compare.
        evaluation: figures of the evaluation that a sweep shows, of any node type; none named = all there are.
    """

    space: str
    section: str
    seed: str
    metric: str | None = None
    loop: str | None = None
    shifts: tuple[str, ...] = ()
    evaluation: tuple[str, ...] = ()

    def shown(self, names: Sequence[str]) -> list[str]:
        """Those of an evaluation's figures that a sweep shows; all of them if none is among those it looks for."""
        return [name for name in names if name.rpartition(":")[2] in self.evaluation] or list(names)


OBJECTIVES: Mapping[str, Objective] = {
    each.space: each
    for each in (
        Objective("behaviour", "sequence", "sequence.loop.seed", "ndcg@10", "sequence.loop"),
        Objective(
            "graph", "graph", "graph.seed", evaluation=("macro_f1@20%", "nmi", "ari", "precision@10", "link_auc")
        ),
        # A gentler view is found more easily: what is easy to tell apart is not what is well told apart.
        Objective("image", "image", "image.loop.seed", "view_match", "image.loop", shifts=("image.views",)),
    )
}


def validations(run: Run, objective: Objective) -> list[tuple[int, float]]:
    """(epoch, validation metric) of a training so far, from its curves."""
    found = []
    for line in read_json_lines(run.folder / objective.space / "metrics.jsonl"):
        if (value := line.get(f"validation/{objective.metric}")) is not None:
            found.append((int(line["epoch"]), float(value)))
    return found


def kept(figures: list[tuple[int, float]], keep: str) -> tuple[int, float]:
    """The (epoch, figure) of the weights that a training ends with: of the best validation, or of the last."""
    return figures[-1] if keep == "last" else max(figures, key=lambda each: each[1])


def training_seconds(run: Run, space: str) -> float:
    """Seconds that a finished training took."""
    facts = run.read_json(f"{space}.json")
    assert facts is not None, "asked of finished trainings only"
    return float(facts["seconds"])
