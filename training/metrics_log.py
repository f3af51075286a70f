"""Training curves: one JSON object a line in ``metrics.jsonl``, and the same in TensorBoard files."""

import json
import time
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """Appends scalars; on a resumed training, what was written after the checkpoint is dropped first."""

    def __init__(self, folder: Path, *, after_step: int = 0, lines: int = 0) -> None:
        """Open the log of a training that stands at ``after_step`` and had written ``lines`` lines by then."""
        path = folder / "metrics.jsonl"
        kept = path.read_text("utf-8").splitlines(keepends=True)[:lines] if path.exists() else []
        self.lines = len(kept)
        staging = path.with_name(f".{path.name}.writing")
        staging.write_text("".join(kept), "utf-8")
        staging.replace(path)
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(folder / "tensorboard", purge_step=after_step + 1 if after_step else None)

    def write(self, step: int, epoch: int, values: dict[str, float]) -> None:
        """Record scalars reached after ``step`` optimiser steps."""
        line = {"step": step, "epoch": epoch, "time": round(time.time(), 3), **values}
        self.lines += 1
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
