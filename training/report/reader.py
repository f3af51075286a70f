"""A trained sequence model as the report asks it: rows of items in, NumPy arrays out."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from recsvc.answers.reasons import Reasons, log_probabilities, queries_without, reasons
from recsvc.data import make_split
from training.run import Run
from training.sequence.data import prepare_sequences
from training.sequence.space import BehaviourSpace

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Histories = list[Int64]


class HistoryReader:
    """The `behaviour` model of a run, its items and its test histories."""

    def __init__(self, run: Run) -> None:
        self._log = run.load_log()
        self.data = prepare_sequences(self._log, make_split(self._log, run.config.split))
        self.model = BehaviourSpace().load_model(run, self.data)
        self.max_history: int = self.model.config.max_history
        with torch.inference_mode():
            self.table: Float32 = self.model.item_vectors.float().numpy()
            self.bias: Float32 = self.model.bias.float().numpy()
        catalogue = run.catalogue()
        things = catalogue.items(self.data.vocabulary)
        catalogue.close()
        self._titles = [thing.title or thing.item_id for thing in things]

    def titles(self, rows: Sequence[int] | Int64) -> list[str]:
        """What to show for rows of the model's items."""
        return [self._titles[row] for row in rows]

    def test_histories(self, count: int, seed: int, *, at_least: int = 1) -> Int64:
        """Numbers of up to ``count`` test targets, drawn at random, that have ``at_least`` items in their history."""
        sizes = self.data.test.ends - self.data.test.begins
        able = np.flatnonzero((sizes >= at_least) & (self.data.test.items >= 0))
        return np.random.default_rng(seed).permutation(able)[:count]

    def history(self, target: int) -> Int64:
        """What the model reads of a test history: rows of the newest items, oldest first, [n]."""
        begin, end = int(self.data.test.begins[target]), int(self.data.test.ends[target])
        return self.data.items[max(begin, end - self.max_history) : end].astype(np.int64)

    def whole_history(self, target: int) -> Int64:
        """A test history with the items that the model is too short to read."""
        begin, end = int(self.data.test.begins[target]), int(self.data.test.ends[target])
        return self.data.items[begin:end].astype(np.int64)

    def embed(self, rows: Int64) -> Float32:
        """Vectors of items as the model reads them, [n, d]."""
        with torch.inference_mode():
            vectors: Float32 = self.model.embed(torch.from_numpy(rows)).float().numpy()
        return vectors

    def encode(self, vectors: Float32, mask: NDArray[np.bool_]) -> Float32:
        """Queries [B, d] of right-aligned histories of vectors [B, n, d]; mask bool [B, n]."""
        with torch.inference_mode():
            query: Float32 = self.model.query(torch.from_numpy(vectors), torch.from_numpy(mask)).float().numpy()
        return query

    def scores(self, rows: Int64) -> Float32:
        """Scores of all items after a history, [V]."""
        query = self.encode(self.embed(rows)[None], np.ones((1, len(rows)), np.bool_))
        scores: Float32 = query[0] @ self.table.T + self.bias
        return scores

    def reasons(self, rows: Int64, scored: Int64) -> Reasons:
        """What items' probabilities among all items owe to the history's items."""
        return reasons(self.encode, self.embed(rows), self.table, self.bias, scored, same=rows)

    def log_probabilities_without(self, rows: Int64, hidden: NDArray[np.bool_], scored: Int64) -> Float32:
        """Log-probabilities [R, m] of items after a history with some events hidden, ``hidden`` bool [R, n]."""
        queries = np.concatenate(list(queries_without(self.encode, self.embed(rows), hidden)))
        return log_probabilities(queries, self.table, self.bias, scored)

    def attention(self, rows: Int64) -> list[Float32]:
        """Attention weights of one history, for each layer [heads, n', n'], n' = n + 1 with a [MASK]."""
        with torch.inference_mode():
            vectors = self.model.embed(torch.from_numpy(rows))[None]
            layers = self.model.attention_weights(vectors, torch.ones(1, len(rows), dtype=torch.bool))
        return [layer[0].float().numpy() for layer in layers]
