"""A warm start of the `behaviour` space: rows of the champion's tables by the ids of their items, all else as it is.

Items that the champion does not know begin as in a cold model: small random vectors, bias 0.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from recsvc.data import Dataset, InteractionLog, make_split
from training.config import Config
from training.flat import first_difference
from training.loop import BEST_WEIGHTS
from training.retrain.start import Choice, Start, enough_warm, warm_loop
from training.run import Run
from training.sequence.data import SequenceData, prepare_sequences
from training.sequence.fit import build_model
from training.sequence.item_attributes import attribute_values, item_attributes
from training.start_weights import Tensors

Int64 = NDArray[np.int64]

_BY_ITEM = ("items.weight", "bias")
_BY_VALUE = "attributes.vectors.weight"
_OF_DATA = ("attributes.values", "attributes.offsets")


def choose_behaviour(dataset: Dataset, config: Config, champion: Run, in_a_row: int) -> Choice:
    """Warm, unless the models differ, the data have changed too much, or enough warm trainings led to the champion."""
    assert dataset.log is not None
    reason = _reason_against(dataset.log, config, champion, in_a_row)
    if reason is not None:
        return Choice(Start("cold", reason), config)
    start, loop = config.retrain.start, config.sequence.loop
    # The champion may have trained on what validates now: the best of that would be too early a pass.
    warm = warm_loop(loop, start, start.warm_epochs, keep="last")
    sequence = config.sequence.model_copy(update={"loop": warm})
    passes = f"{warm.epochs} passes in place of {loop.epochs}"
    why = f"the model is the champion's and the data are much the same, so {passes}"
    return Choice(Start("warm", why, in_a_row + 1), config.model_copy(update={"sequence": sequence}))


def _reason_against(log: InteractionLog, config: Config, champion: Run, in_a_row: int) -> str | None:
    limits = config.retrain.start
    models = (each.sequence.model.model_dump(mode="json") for each in (champion.config, config))
    differs = first_difference(*models, path="sequence.model")
    if differs is not None:
        return f"another model: {differs}"
    if (enough := enough_warm(in_a_row, limits)) is not None:
        return enough
    was = champion.load_log()
    old, new = _numbered(was, champion.config), _numbered(log, config)
    unknown = np.count_nonzero(_known_rows(was, old, log, new) < 0) / new.num_items
    if unknown > limits.max_new_items:
        return f"{unknown:.0%} of the items are new, more than {limits.max_new_items:.0%} (retrain.start.max_new_items)"
    events, before = (int((data.train_ends - data.train_begins).sum()) for data in (new, old))
    if events > before * (1 + limits.max_growth):
        growth = events / before - 1
        return f"the interactions grew by {growth:.0%}, more than {limits.max_growth:.0%} (retrain.start.max_growth)"
    lost = np.count_nonzero(log.users.rows_of(was.users) < 0) / was.num_users
    if lost > limits.max_lost_users:
        return (
            f"{lost:.0%} of the champion's users are no longer in the data, more than {limits.max_lost_users:.0%} "
            "(retrain.start.max_lost_users)"
        )
    return None


def behaviour_weights(champion: Run, run: Run) -> Tensors:
    """The initial weights of a run that begins from another one."""
    was, log = champion.load_log(), run.load_log()
    old, new = _numbered(was, champion.config), _numbered(log, run.config)
    weights = build_model(new.num_items, run.config.sequence, item_attributes(run, new)).state_dict()
    trained = load_file(champion.folder / "behaviour" / BEST_WEIGHTS)
    rows = torch.from_numpy(_known_rows(was, old, log, new))
    for name, tensor in weights.items():
        if name in _BY_ITEM:
            _take(tensor, trained[name], rows)
            if len(tensor) > len(rows):  # the [MASK] token stands behind the items
                tensor[-1] = trained[name][-1]
        elif name == _BY_VALUE:
            _take(tensor, trained[name], _value_rows(champion, old, run, new))
        elif name not in _OF_DATA:
            tensor.copy_(trained[name])
    return weights


def _numbered(log: InteractionLog, config: Config) -> SequenceData:
    return prepare_sequences(log, make_split(log, config.split))


def _known_rows(was: InteractionLog, old: SequenceData, log: InteractionLog, new: SequenceData) -> Int64:
    """The row in the champion's model of each item of the new one, -1 where it has none; int64 [V]."""
    rows = was.item_ids.rows_of(log.item_ids.ids_of(new.vocabulary))
    numbering = np.full(was.num_items + 1, -1, np.int64)  # the last is for -1
    numbering[old.vocabulary] = np.arange(old.num_items)
    return numbering[rows]


def _value_rows(champion: Run, old: SequenceData, run: Run, new: SequenceData) -> torch.Tensor:
    """The row in the champion's model of each attribute value of the new one, -1 where it has none."""
    before, after = (
        dict.fromkeys(value for values in attribute_values(each, data) for value in values)
        for each, data in ((champion, old), (run, new))
    )
    places = {value: row for row, value in enumerate(before)}
    return torch.tensor([places.get(value, -1) for value in after], dtype=torch.int64)


def _take(into: torch.Tensor, table: torch.Tensor, rows: torch.Tensor) -> None:
    """Copy the rows that are there into the first rows of a table, in place."""
    known = rows >= 0
    into[: len(rows)][known] = table[rows[known]]
