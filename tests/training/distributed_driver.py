"""Trains a small model in float64, for `test_distributed.py`: alone, or as one of the processes of torchrun."""

import sys
from pathlib import Path

import numpy as np

from training.config import load_config
from training.distributed import several_processes
from training.loop import Trainer
from training.sequence.config import EvaluationConfig
from training.sequence.data import SequenceData, Targets
from training.sequence.fit import SequenceTask

SHARED = (
    "sequence.model.dim=16",
    "sequence.model.max_length=8",
    "sequence.model.dropout=0",
    "sequence.loop.epochs=3",
    "sequence.loop.evaluate_every=1",
    "sequence.loop.warmup_steps=0",
    "sequence.loop.learning_rate=0.01",
    "sequence.loop.clip_norm=0.5",
    "sequence.loop.precision=32-true",  # bfloat16 would hide what two processes do otherwise
)
SCENARIOS = {
    "softmax": ("sequence.rows.tokens_per_batch=40",),
    "sampled": ("sequence.rows.tokens_per_batch=40", "sequence.loss.kind=sampled", "sequence.loss.negatives=7"),
    "causal": ("sequence.rows.tokens_per_batch=40", "sequence.rows.next_share=1", "sequence.model.attention=causal"),
    # Every batch is one row: the second process gets none.
    "one-row": ("sequence.rows.tokens_per_batch=2",),
}
SETTINGS_OF_CAUSAL = ("sequence.rows.last_share=0",)


def ring(users: int = 40, items: int = 12) -> SequenceData:
    """Histories along a ring, of uneven lengths; every third event counts half."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(4, 12, users)
    ends = np.cumsum(lengths)
    steps = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
    log = ((np.repeat(rng.integers(0, items, users), lengths) + steps) % items).astype(np.int32)
    weights = np.where(np.arange(len(log)) % 3 == 0, 0.5, 1.0).astype(np.float32)
    held_out = Targets(np.arange(users), ends - lengths, ends - 1, log[ends - 1].astype(np.int64))
    counts = np.bincount(log, minlength=items)
    return SequenceData(
        vocabulary=np.arange(items),
        items=log,
        weights=weights,
        train_begins=ends - lengths,
        train_ends=ends - 1,
        counts=counts,
        validation=held_out,
        test=held_out,
    )


def train(scenario: str, folder: Path) -> None:
    """Train one scenario in ``folder / scenario``."""
    extra = SETTINGS_OF_CAUSAL if scenario == "causal" else ()
    config = load_config(None, (*SHARED, *SCENARIOS[scenario], *extra)).sequence
    task = SequenceTask(ring(), config, EvaluationConfig())
    task.model.double()
    Trainer(task, config.loop, folder / scenario, accelerator="cpu").run()


if __name__ == "__main__":
    with several_processes():
        for name in SCENARIOS:
            train(name, Path(sys.argv[1]))
