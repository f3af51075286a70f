"""Runs recsvc's own training or evaluation for a benchmark, as the peers' drivers run theirs.

python ours_driver.py training|evaluation LOG.npz OPTIONS
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from protocol import Channel, Log, Options, StepGate, versions

from recsvc.metrics.ranking import ranking_metrics
from training.config import Config, load_config
from training.loop import Trainer
from training.runtime import prepare_process
from training.sequence.data import SequenceData, Targets
from training.sequence.evaluate import evaluate_ranks, model_scorer
from training.sequence.fit import SequenceTask, build_model

NEVER = 1_000_000


class GatedTask(SequenceTask):
    """Training as it is; the benchmark counts its batches and stops it between two."""

    gate: StepGate

    def batches(self, epoch: int, first: int) -> Iterator[Any]:
        """The task's own batches."""
        for step in super().batches(epoch, first):
            yield step
            batch = step.batch
            tokens = batch.tokens.size if batch.mask is None else int(batch.mask.sum())
            self.gate.done(tokens=tokens, targets=len(batch.labels), rows=len(batch.tokens))


def main() -> None:
    """Build data and model, say `ready`, obey."""
    channel = Channel()
    mode, log, options = sys.argv[1], Log(Path(sys.argv[2])), Options(**json.loads(sys.argv[3]))
    config = settings(options)
    prepare_process(config.runtime)
    data = sequence_data(log)
    ready = {"versions": versions("torch", "numpy"), "threads": torch.get_num_threads()}
    if mode == "training":
        task = GatedTask(data, config.sequence, config.evaluation)
        task.gate = StepGate(channel)
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(task, config.sequence.loop, Path(folder), accelerator="cpu")
            channel.answer(ready=True, **ready)
            task.gate.open()
            trainer.run()
        return
    scorer = model_scorer(build_model(data.num_items, config.sequence).eval(), data, data.test)
    channel.answer(ready=True, **ready)
    while channel.command():
        wall, cpu = time.perf_counter(), time.process_time()
        found = ranking_metrics(evaluate_ranks(scorer, data, data.test, exclude_seen=True), (10,))
        channel.answer(
            seconds=time.perf_counter() - wall,
            cpu_seconds=time.process_time() - cpu,
            users=len(data.test),
            metrics={name: found[name] for name in ("ndcg@10", "hr@10")},
        )


def settings(options: Options) -> Config:
    """The shapes of the comparison; all else at its defaults. No validation: the peers have none either."""
    return load_config(
        overrides=[
            f"runtime.threads={options.threads}",
            "runtime.accelerator=cpu",
            # the model that the peers have: BERT4Rec's blocks, Cloze rows, [MASK]
            "sequence.model.block=post-norm",
            "sequence.model.question=mask",
            "sequence.rows.next_share=0",
            "sequence.rows.last_share=0",
            f"sequence.model.dim={options.dim}",
            f"sequence.model.layers={options.layers}",
            f"sequence.model.heads={options.heads}",
            f"sequence.model.max_length={options.length}",
            f"sequence.model.dropout={options.dropout}",
            f"sequence.rows.tokens_per_batch={options.rows * options.length}",
            f"sequence.rows.mask_share={options.mask_share}",
            "sequence.rows.window_step=1",
            f"sequence.loop.seed={options.seed}",
            f"sequence.loop.epochs={NEVER}",
            f"sequence.loop.evaluate_every={NEVER}",
        ]
    )


def sequence_data(log: Log) -> SequenceData:
    """The log as training sees it; the test target is every user's newest event."""
    users = np.arange(len(log.begins))
    train = np.arange(len(log.items)) < np.repeat(log.train_ends, np.diff(np.append(log.begins, len(log.items))))
    return SequenceData(
        vocabulary=np.arange(log.num_items),
        items=log.items,
        weights=None,
        train_begins=log.begins,
        train_ends=log.train_ends,
        counts=np.bincount(log.items[train], minlength=log.num_items),
        validation=Targets(*log.validation.T),
        test=Targets(users, log.begins, log.ends - 1, log.items[log.ends - 1].astype(np.int64)),
    )


if __name__ == "__main__":
    main()
