"""A run as trackers of experiments want it: settings, facts and final figures in flat tables.

TensorBoard's curves are written while a space trains; once it is judged, its settings and figures come to
``RUN/tensorboard``, where the HParams tab compares them. An MLflow server gets all of it by `recsvc runs export`.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from training.config import SECTIONS
from training.files import read_json_lines
from training.flat import flattened
from training.run import Run

_SHARED: Final = ("data", "split")


class CurvePoint(NamedTuple):
    """One line of a space's curves: values by name, after so many steps, at an instant in epoch seconds."""

    step: int
    time: float
    values: dict[str, float]


def settings_of(run: Run, spaces: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that some spaces were trained with, flat: numbers, texts and truths; all else as JSON."""
    sections = {*_SHARED, *(SECTIONS[name] for name in spaces if name in SECTIONS)}
    flat = flattened({key: value for key, value in run.config.model_dump(mode="json").items() if key in sections})
    return {
        key: value if isinstance(value, bool | int | float | str) else json.dumps(value, ensure_ascii=False)
        for key, value in flat.items()
        if value is not None
    }


def figures_of(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The test figures of all spaces: ``test/behaviour/ndcg@10``, and those of the baselines beside them."""
    figures: dict[str, float] = {}
    for space, result in evaluation.items():
        figures |= {f"test/{space}/{name}": float(value) for name, value in result["model"].items()}
        for baseline, own in result["baselines"].items():
            figures |= {f"baselines/{space}/{baseline}/{name}": float(value) for name, value in own.items()}
    return figures


def costs_of(usage: Mapping[str, Any]) -> dict[str, float]:
    """What each space's training took: ``cost/behaviour/cpu_seconds``."""
    return {
        f"cost/{space}/{name}": float(own[name]) for space, own in usage.items() for name in ("seconds", "cpu_seconds")
    }


def curves_of(run: Run, space: str) -> Iterator[CurvePoint]:
    """The curves of a space's training; those of a kind without curves have none."""
    for content in read_json_lines(run.folder / space / "metrics.jsonl"):
        step, when = int(content.pop("step")), float(content.pop("time"))
        content.pop("epoch")
        yield CurvePoint(step, when, {name: float(value) for name, value in content.items()})


def write_board(run: Run, evaluation: Mapping[str, Any]) -> None:
    """Write settings and final figures of a run as TensorBoard wants them; what an earlier evaluation wrote goes."""
    folder = run.folder / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)
    figures = figures_of(evaluation)
    with SummaryWriter(folder) as board:
        judged = {name: value for name, value in figures.items() if name.startswith("test/")}
        for summary in hparams(settings_of(run, evaluation), judged):
            board.file_writer.add_summary(summary)
        for name, value in figures.items():
            board.add_scalar(name, value)
        facts = {"fingerprint": run.fingerprint, "environment": run.facts["environment"]}
        board.add_text("run", f"```json\n{json.dumps(facts, indent=1)}\n```")
