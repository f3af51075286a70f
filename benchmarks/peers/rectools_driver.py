"""Runs RecTools' `BERT4RecModel` for a benchmark; needs the packages of requirements-rectools.txt, not recsvc.

    python rectools_driver.py training|evaluation|quality LOG.npz OPTIONS [SCORES.npy]

``quality`` trains without end with RecTools' own defaults; after every epoch it writes the scores of the validation
histories, answers, and goes on at the command ``go``.
"""

import json
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from protocol import Channel, Clock, Log, Options, StepGate, versions
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.metrics import NDCG, HitRate, calc_metrics
from rectools.models import BERT4RecModel
from torch.utils.data import DataLoader

ENDLESS = 1_000_000


class Gate(Callback):
    """Lets the benchmark count and time the steps of RecTools' own Lightning loop, its data loader included."""

    def __init__(self, gate: StepGate) -> None:
        self._gate = gate

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the first command."""
        self._gate.open()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step."""
        self._gate.done(tokens=int((batch["x"] != 0).sum()), targets=int((batch["y"] != 0).sum()), rows=len(batch["x"]))

    def __deepcopy__(self, memo: Any) -> "Gate":
        return self  # RecTools copies its trainer before it fits


class ScoreEpochs(Callback):
    """Stops the clock after every epoch and hands out the scores of the validation histories."""

    def __init__(self, log: Log, path: Path, channel: Channel) -> None:
        self.events, self.path, self.channel = log, path, channel  # Lightning puts a `log` of its own on callbacks
        self.model: BERT4RecModel
        self.clock: Clock

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.clock = Clock()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score, answer, wait."""
        reading = self.clock.read()
        np.save(self.path, validation_scores(self.model, self.events))
        pl_module.train()
        self.channel.answer(epoch=trainer.current_epoch + 1, cpu_seconds=reading[0], wall_seconds=reading[1])
        self.channel.command()
        self.clock.resume(reading)

    def __deepcopy__(self, memo: Any) -> "ScoreEpochs":
        return self


def main() -> None:
    """Build the data set, say `ready`, obey."""
    warnings.simplefilter("ignore")
    channel = Channel()
    mode, log, options = sys.argv[1], Log(Path(sys.argv[2])), Options(**json.loads(sys.argv[3]))
    torch.set_num_threads(options.threads)
    seed_everything(options.seed)
    ready = {
        "versions": versions("rectools", "torch", "numpy", "pandas", "pytorch-lightning"),
        "threads": torch.get_num_threads(),
    }
    if mode == "training":
        channel.answer(ready=True, **ready)
        architecture(options, Gate(StepGate(channel))).fit(dataset(log, log.train_ends))
    elif mode == "evaluation":
        evaluate_forever(log, options, channel, ready)
    else:
        scores = ScoreEpochs(log, Path(sys.argv[4]), channel)
        scores.model = BERT4RecModel(get_trainer_func=lambda: trainer(scores, max_epochs=ENDLESS))
        channel.answer(ready=True, **ready, config=settings(scores.model))
        scores.model.fit(dataset(log, log.train_ends))


def settings(model: BERT4RecModel) -> dict[str, Any]:
    """RecTools' own account of what it trains with; the trainer here sets no number of epochs."""
    config = model.get_config(simple_types=True)
    return {name: value for name, value in config.items() if name not in {"epochs", "get_trainer_func"}}


def architecture(options: Options, *callbacks: Callback, max_steps: int = -1) -> BERT4RecModel:
    """RecTools' model with the shapes of the comparison; all else at its defaults."""
    return BERT4RecModel(
        n_factors=options.dim,
        n_blocks=options.layers,
        n_heads=options.heads,
        session_max_len=options.length,
        mask_prob=options.mask_share,
        dropout_rate=options.dropout,
        batch_size=options.rows,
        get_trainer_func=lambda: trainer(*callbacks, max_epochs=ENDLESS, max_steps=max_steps),
    )


def trainer(*callbacks: Callback, max_epochs: int, max_steps: int = -1) -> Trainer:
    """The trainer that RecTools makes for itself (0.19, ``TransformerModelBase._init_trainer``), with callbacks."""
    return Trainer(
        max_epochs=max_epochs,
        max_steps=max_steps,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        enable_checkpointing=False,
        devices=1,
        callbacks=list(callbacks),
    )


def frame(users: np.ndarray, items: np.ndarray, positions: np.ndarray) -> pd.DataFrame:
    """Interactions in RecTools' columns; the position in the history stands for the time."""
    return pd.DataFrame(
        {
            Columns.User: users,
            Columns.Item: items,
            Columns.Weight: 1.0,
            Columns.Datetime: pd.Timestamp(2000, 1, 1) + pd.to_timedelta(positions, unit="s"),
        }
    )


def dataset(log: Log, ends: np.ndarray) -> Dataset:
    """Everything before ``ends``."""
    return Dataset.construct(frame(*log.events(ends)))


def evaluate_forever(log: Log, options: Options, channel: Channel, ready: dict[str, Any]) -> None:
    """Top 10 of all items but those seen for every user, and their metrics, by RecTools alone."""
    histories = dataset(log, log.ends - 1)
    users = np.arange(len(log.begins))
    last = frame(users, log.items[log.ends - 1].astype(np.int64), np.zeros(len(users), np.int64))
    # `recommend` wants a fitted model; one small step leaves no mark on the peak of memory.
    model = architecture(replace(options, rows=2), max_steps=1).fit(histories)
    channel.answer(ready=True, **ready)
    while channel.command():
        wall, cpu = time.perf_counter(), time.process_time()
        top = model.recommend(users, histories, k=10, filter_viewed=True)
        found = calc_metrics({"ndcg@10": NDCG(k=10), "hr@10": HitRate(k=10)}, top, last)
        channel.answer(
            seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu, users=len(users), metrics=found
        )


@torch.inference_mode()
def validation_scores(model: BERT4RecModel, log: Log) -> np.ndarray:
    """Scores float32 [T, V] in the log's numbering, as `recommend` makes them; -inf for items RecTools does not know.

    RecTools trains on the newest ``session_max_len`` events of a user, so items that only older ones show have no
    embedding; `recommend` drops them from histories too.
    """
    known = model.data_preparator.get_known_item_ids().astype(np.int64)
    internal = np.zeros(log.num_items, np.int64)
    internal[known] = model.data_preparator.get_known_items_sorted_internal_ids()
    sessions = []
    for _, begin, end, _ in log.validation:
        rows = internal[log.items[begin:end]]
        sessions.append((rows[rows > 0].tolist(), [], {}))
    loader = DataLoader(sessions, batch_size=256, collate_fn=model.data_preparator._collate_fn_recommend)
    users, items = model.lightning_model._get_user_item_embeddings(loader, "cpu")
    scores = np.full((len(sessions), log.num_items), -np.inf, np.float32)
    scores[:, known] = (users @ items.T).numpy()[:, internal[known]]
    return scores


if __name__ == "__main__":
    main()
