"""Training curves: one JSON object a line in ``metrics.jsonl``, and the same in TensorBoard files."""

import json
import time
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """Appends scalars; on a resumed training the lines after the checkpoint's step are dropped first."""

    def __init__(self, folder: Path, *, after_step: int = 0) -> None:
        path = folder / "metrics.jsonl"
        kept = _lines_until(path, after_step)
        path.write_text("".join(kept), "utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(folder / "tensorboard", purge_step=after_step + 1 if after_step else None)

    def write(self, step: int, epoch: int, values: dict[str, float]) -> None:
        """Record scalars reached after ``step`` optimiser steps."""
        line = {"step": step, "epoch": epoch, "time": round(time.time(), 3), **values}
        self._file.write(json.dumps(line) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def flush(self) -> None:
        """Push everything to the operating system."""
        self._file.flush()
        self._board.flush()

    def close(self) -> None:
        """Flush and close both files."""
        self._file.close()
        self._board.close()


def _lines_until(path: Path, step: int) -> list[str]:
    """The whole lines of an earlier attempt up to a step; a line torn by a kill is dropped."""
    if not path.exists() or not step:
        return []
    kept = []
    for line in path.read_text("utf-8").splitlines(keepends=True):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["step"] <= step:
            kept.append(line)
    return kept
