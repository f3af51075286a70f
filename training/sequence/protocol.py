"""The protocol of an evaluation in facts: what a reader must know before comparing a figure with another."""

import hashlib
from typing import Any

import numpy as np

from recsvc.data import InteractionLog, Split
from training.sequence.config import EvaluationConfig
from training.sequence.data import SequenceData
from training.sequence.evaluate import targets_in_history

_TIME = {
    "leave-one-out": "some training events are newer than other users' targets; split.kind=temporal judges a model as "
    "it would be deployed",
    "temporal": "no training event is newer than a target",
}


def order_checksum(log: InteractionLog) -> str:
    """SHA-256 of the lines ``user,last item`` of all users: tells logs apart that order events of equal time otherwise.

    Users stand in numeric order where all their ids are whole numbers, else in the order of their ids' UTF-8. Last
    items are the targets of leave-one-out.
    """
    users = list(log.users)
    numeric = all(user.isascii() and user.isdecimal() for user in users)
    lengths = np.diff(log.offsets)
    last = log.item_ids.ids_of(log.items[log.offsets[1:][lengths > 0] - 1])
    pairs = zip((user for user, length in zip(users, lengths.tolist(), strict=True) if length), last, strict=True)
    ordered = sorted(pairs, key=(lambda pair: (int(pair[0]), pair[0])) if numeric else (lambda pair: pair[0].encode()))
    return hashlib.sha256("".join(f"{user},{item}\n" for user, item in ordered).encode()).hexdigest()


def protocol_facts(
    log: InteractionLog,
    split: Split,
    data: SequenceData,
    settings: EvaluationConfig,
    *,
    kind: str,
    max_history: int,
) -> dict[str, Any]:
    """What figures of a log's test targets mean, the split's sentence first.

    Args:
        log: the whole log.
        split: of the log.
        data: both as the model sees them.
        settings: how the targets are judged.
        kind: of the split, ``split.kind`` of the configuration.
        max_history: items of a history that the model reads.
    """
    test = data.test
    cold, seen = int((test.items < 0).sum()), int(targets_in_history(data, test).sum())
    longer = float(np.mean(test.ends - test.begins > max_history))
    excluded = "items of the whole history excluded" if settings.exclude_seen else "nothing excluded"
    own = " and those already in their own history" if settings.exclude_seen else ""
    return {
        "split": split.protocol,
        "time": _TIME[kind],
        "ranking": f"all {data.num_items} items of the training interactions; {excluded}",
        "ties": "count half",
        "history": f"all that precedes the target, validation items included; the model reads the newest {max_history} "
        f"known items ({longer:.1%} of the histories are longer); trained once, on the training part alone",
        "targets": len(test),
        "items_ranked": data.num_items,
        "targets_not_in_training": cold,
        "targets_already_in_history": seen,
        "misses": f"targets not in training (cold: no scorer here ranks them){own} count as misses in every total",
        "order_sha256": order_checksum(log),
    }
