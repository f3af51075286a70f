"""Next items straight from the trained PyTorch model: the yardstick for every exported or served answer."""

from collections.abc import Sequence

import numpy as np
import torch

from recsvc.models.sequence.model import SequenceModel
from recsvc.search import top_k


def offline_next_items(
    model: SequenceModel, histories: Sequence[Sequence[int]], k: int, *, exclude_seen: bool = True
) -> list[list[tuple[int, float]]]:
    """Answer each history by itself, unpadded.

    Args:
        model: in evaluation mode.
        histories: rows of the model's items, oldest first; none is empty.
        k: answers per history.
        exclude_seen: leave the items of the whole history out.

    Returns:
        For each history ``[(item row, score), ...]``, best first.
    """
    answers = []
    for history in histories:
        newest = torch.tensor([list(history[-(model.config.max_history) :])])
        with torch.inference_mode():
            scores = model.score(model.query(model.embed(newest), None))[0].numpy()
        rows = top_k(scores, k, np.unique(history) if exclude_seen else None)
        answers.append([(int(row), float(scores[row])) for row in rows])
    return answers
