"""A run published with approximate indexes: the manifest says how good they are, and answers go through them."""

import numpy as np
import pytest

from recsvc.answers import Recommender
from recsvc.answers.bundle import open_bundle
from recsvc.releases import Store
from recsvc.search import IvfIndex
from training import fit, pipeline

# Of thirty items a quarter is looked at: what can be wrong with the wiring shows, whatever the recall.
CELLS = ("index.kind=ivf", "index.lists=4", "index.recall=0.2", "index.queries=100")


@pytest.fixture(scope="module")
def run(tmp_path_factory, cycle_dataset, small_settings):
    settings = small_settings | {"sequence.loop.epochs": 2, "runtime.threads": 1, "runtime.keep_memory": False}
    return fit(cycle_dataset, tmp_path_factory.mktemp("indexed") / "run", settings=settings, quiet=True).run


def test_a_release_with_approximate_indexes_answers_through_them(run, tmp_path):
    store = Store(tmp_path / "store")
    release = pipeline.publish(run.with_settings(CELLS, ("index",)), store, activate=True)
    manifest = store.verify(release)
    entry = manifest.spaces["behaviour"]
    assert manifest.config["index"]["kind"] == "ivf"
    for search in (entry.search, entry.next_index.search):
        assert search.kind == "ivf" and search.parameters["lists"] == 4
        assert 0.2 <= search.recall_at_10 <= 1 and search.queries == 50
    assert {entry.index, entry.next_index.file} <= manifest.files.keys()
    space = open_bundle(store.path_of(release), release).spaces["behaviour"]
    assert isinstance(space.index, IvfIndex) and isinstance(space.sequences.next_index.index, IvfIndex)

    query = space.sequences.encoder.encode(space.vectors[[3, 4]])
    rows, scores = space.next_items(query, 5, excluded=[3, 4])
    assert len(rows) == 5 and not {3, 4} & set(rows.tolist())
    np.testing.assert_allclose(scores, space.vectors[rows] @ query + space.sequences.bias[rows], rtol=1e-4, atol=1e-4)
    answer = Recommender.from_store(store.path).recommend(["item/3", "item/4"], k=40, strict=True)
    assert len(answer.items) == 28 and {item.reason for item in answer.items} == {"sequence"}
    assert np.all(np.diff([item.score for item in answer.items]) <= 0)


def test_the_queries_that_measure_are_real_histories(run):
    from training.sequence.space import BehaviourSpace

    histories = BehaviourSpace().histories(run, 200)
    lengths = [len(each) for each in histories]
    assert len(histories) == 200 and min(lengths) >= 1 and max(lengths) <= run.config.sequence.model.max_history
    ids = run.load_log().item_ids
    vocabulary = BehaviourSpace().items(run)[1]
    for history in histories:  # on the ring, item i is followed by item i + 1
        numbers = [int(item_id.removeprefix("item/")) for item_id in ids.ids_of(vocabulary[history])]
        assert np.all(np.diff(numbers) % 30 == 1)
