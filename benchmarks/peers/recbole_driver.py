"""Runs RecBole's `BERT4Rec` for a benchmark; needs the packages of requirements-recbole.txt, not recsvc.

    python recbole_driver.py training|evaluation LOG.npz OPTIONS

RecBole makes a training row of every prefix of every history (its "data augmentation"): a row is one new event, and the
up to L events before it are read again.
"""

import json
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from protocol import Channel, Log, Options, StepGate, versions

NAME = "log"


class GatedLoader:
    """RecBole's own loader; the benchmark counts its batches and stops it between two."""

    def __init__(self, loader: Any, gate: StepGate) -> None:
        self._loader, self._gate = loader, gate

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            yield batch
            self._gate.done(
                tokens=int(batch["item_length"].sum()), targets=int((batch["MASK_INDEX"] > 0).sum()), rows=len(batch)
            )


def main() -> None:
    """Build data and model with RecBole, say `ready`, obey."""
    warnings.simplefilter("ignore")
    channel = Channel()
    mode, log, options = sys.argv[1], Log(Path(sys.argv[2])), Options(**json.loads(sys.argv[3]))
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import BERT4Rec
    from recbole.trainer import Trainer
    from recbole.utils import init_seed

    torch.set_num_threads(options.threads)
    folder = Path(sys.argv[2]).parent
    write_atomic_file(log, folder / NAME)
    arguments, sys.argv = sys.argv, sys.argv[:1]  # RecBole reads the command line too
    config = Config(model=BERT4Rec, dataset=NAME, config_dict=settings(options, folder))
    sys.argv = arguments
    init_seed(config["seed"], config["reproducibility"])
    train, _, test = data_preparation(config, create_dataset(config))
    model = BERT4Rec(config, train.dataset).to(config["device"])
    trainer = Trainer(config, model)
    ready = {
        "versions": versions("recbole", "torch", "numpy", "pandas"),
        "threads": torch.get_num_threads(),
        "rows_per_epoch": len(train.dataset),
    }
    channel.answer(ready=True, **ready)
    if mode == "training":
        gate = StepGate(channel)
        loader = GatedLoader(train, gate)
        gate.open()
        for epoch in range(10**6):
            trainer._train_epoch(loader, epoch)
    while channel.command():
        wall, cpu = time.perf_counter(), time.process_time()
        found = trainer.evaluate(test, load_best_model=False)
        channel.answer(
            seconds=time.perf_counter() - wall,
            cpu_seconds=time.process_time() - cpu,
            users=len(test.dataset),
            metrics={"ndcg@10": float(found["ndcg@10"]), "hr@10": float(found["hit@10"])},
        )


def settings(options: Options, folder: Path) -> dict[str, Any]:
    """The shapes of the comparison; all else at RecBole's defaults. Loss over all items, leave-one-out."""
    return {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "TIME_FIELD": "timestamp",
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": options.length,
        "hidden_size": options.dim,
        "inner_size": 4 * options.dim,
        "n_layers": options.layers,
        "n_heads": options.heads,
        "hidden_dropout_prob": options.dropout,
        "attn_dropout_prob": options.dropout,
        "mask_ratio": options.mask_share,
        "train_batch_size": options.rows,
        "eval_batch_size": options.recbole_eval_batch,
        "train_neg_sample_args": None,
        "eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"},
        "metrics": ["NDCG", "Hit"],
        "valid_metric": "NDCG@10",
        "topk": [10],
        "use_gpu": False,
        "show_progress": False,
        "state": "WARNING",
        "seed": options.seed,
    }


def write_atomic_file(log: Log, folder: Path) -> None:
    """The whole log in RecBole's file format; the position in the history stands for the time."""
    folder.mkdir(exist_ok=True)
    with (folder / f"{NAME}.inter").open("w", encoding="ascii") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for user, item, position in zip(*(column.tolist() for column in log.events(log.ends)), strict=True):
            file.write(f"{user}\t{item}\t{position}\n")


if __name__ == "__main__":
    main()
