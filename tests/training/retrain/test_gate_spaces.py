"""Graph, pictures and service: every check in a case in which it refuses, and in one in which it passes."""

import time
from dataclasses import replace

import numpy as np
import onnx
import pytest

from recsvc.answers import Recommender
from recsvc.answers.bundle import PictureReader, open_bundle
from recsvc.answers.encoder import PictureEncoder
from recsvc.releases import NextIndexEntry, SearchEntry, SpaceEntry
from training.retrain.gate_config import GateConfig
from training.retrain.gate_graph import collapse, judge_graph, lost_things
from training.retrain.gate_image import judge_pictures
from training.retrain.gate_service import latency, parity, recall

CONFIG = GateConfig()


@pytest.fixture
def run(gate_run):
    return gate_run


@pytest.fixture(scope="module")
def bundle(gate_champion):
    return open_bundle(gate_champion.folder, gate_champion.release)


def changed(bundle, name, **fields):
    """The release with other fields in one of its spaces."""
    return replace(bundle, spaces=bundle.spaces | {name: replace(bundle.spaces[name], **fields)})


def without(bundle, name, count):
    """The release without the last vectors of a space."""
    space = bundle.spaces[name]
    row_of = np.where(space.row_of < len(space.vectors) - count, space.row_of, -1)
    return changed(
        bundle, name, vectors=space.vectors[:-count], catalogue_rows=space.catalogue_rows[:-count], row_of=row_of
    )


def named(checks):
    return {check.name: check for check in checks}


def test_links_of_every_relation_are_asked_for(bundle, run):
    checks = named(judge_graph(bundle, bundle, run, CONFIG))
    assert all(check.passed for check in checks.values())
    asked = {name for name in checks if name.startswith("links")}
    assert len(asked) == 3 and "links" in asked and any("made_by" in name for name in asked)
    assert "held-out" in checks["links"].sentence and "AUC" in checks["links"].sentence
    assert set(named(judge_graph(bundle, None, run, CONFIG))) == {"spread"}


def test_a_graph_that_tells_links_worse_is_refused(bundle, run):
    rng = np.random.default_rng(0)
    worse = changed(bundle, "graph", vectors=rng.normal(size=bundle.spaces["graph"].vectors.shape).astype(np.float32))
    checks = named(judge_graph(worse, bundle, run, CONFIG))
    assert not checks["links"].passed and checks["links"].interval[1] < 0
    assert "lower by more than 0.02, beyond chance" in checks["links"].sentence
    assert named(judge_graph(bundle, worse, run, CONFIG))["links"].passed
    assert named(judge_graph(worse, bundle, run, GateConfig(max_auc_drop=1.0)))["links"].passed


def test_only_what_both_know_is_asked_for(bundle, run):
    fewer = without(bundle, "graph", 10)
    both = [judge_graph(*pair, run, CONFIG) for pair in ((fewer, bundle), (bundle, fewer))]
    told = [[check.sentence for check in checks if check.name.startswith("links")] for checks in both]
    assert told[0] == told[1] and all("(+0.0000 [0.0000, 0.0000]" in sentence for sentence in told[0])


def test_vectors_that_were_lost_are_refused(bundle):
    lost = lost_things("graph", without(bundle, "graph", 3), bundle, CONFIG)
    assert not lost.passed and lost.sentence.startswith("3 of the champion's")
    assert lost_things("graph", bundle, without(bundle, "graph", 3), CONFIG).passed
    assert lost_things("graph", without(bundle, "graph", 3), bundle, GateConfig(max_lost=1.0)).passed


def test_vectors_must_fill_their_space():
    vectors = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    assert all(check.passed for check in collapse("graph", vectors, vectors, CONFIG))
    nearly_one = named(collapse("graph", vectors * 1e-3 + 1, vectors, CONFIG))
    assert not nearly_one["spread"].passed and not nearly_one["rank"].passed
    few = vectors * (np.arange(16) < 3)
    found = named(collapse("graph", few, vectors, CONFIG))
    assert found["spread"].passed and not found["rank"].passed and found["rank"].measured == pytest.approx(3, abs=0.1)
    assert all(check.passed for check in collapse("graph", vectors[:1], None, CONFIG))


@pytest.fixture
def blind(bundle, load_support, tmp_path):
    """The release with an encoder to which all pictures are the same."""
    reader = bundle.spaces["image"].pictures
    dim = bundle.spaces["image"].dim
    weights = np.zeros((3 * reader.input.size**2, dim), np.float32)
    onnx.save(load_support("tiny_release").picture_model(weights), tmp_path / "encoder.onnx")
    encoder = PictureEncoder.open(tmp_path / "encoder.onnx", dim=dim)
    return changed(bundle, "image", pictures=PictureReader(encoder, reader.input))


def test_an_encoder_that_finds_fewer_views_and_labels_is_refused(bundle, run, blind):
    checks = named(judge_pictures(bundle, bundle, run, CONFIG))
    assert all(check.passed for check in checks.values())
    assert set(checks) == {"views", "labels", "lost things", "spread", "rank"}
    worse = named(judge_pictures(blind, bundle, run, CONFIG))
    assert not worse["views"].passed and worse["views"].sentence.startswith("0.0% of 29 views")
    assert not worse["labels"].passed and "beyond chance" in worse["labels"].sentence
    assert all(check.passed for check in judge_pictures(bundle, blind, run, CONFIG))
    assert named(judge_pictures(blind, bundle, run, GateConfig(max_view_drop=1.0)))["views"].passed


def test_pictures_are_brought_to_the_side_that_an_encoder_reads(bundle, run, load_support, tmp_path):
    space = bundle.spaces["image"]
    weights = np.random.default_rng(0).normal(size=(3 * 8 * 8, space.dim)).astype(np.float32)
    onnx.save(load_support("tiny_release").picture_model(weights), tmp_path / "encoder.onnx")
    smaller = PictureReader(
        PictureEncoder.open(tmp_path / "encoder.onnx", dim=space.dim), replace(space.pictures.input, size=8)
    )
    checks = named(judge_pictures(bundle, changed(bundle, "image", pictures=smaller), run, GateConfig(pictures=10)))
    assert "of 10 views" in checks["views"].sentence


@pytest.mark.parametrize("name", ["behaviour", "graph", "image"])
def test_what_is_exported_must_be_what_was_trained(bundle, run, name):
    found = parity(name, bundle, run, CONFIG)
    assert found.passed and 0 <= found.measured < 1e-4
    other = changed(bundle, name, vectors=bundle.spaces[name].vectors[::-1].copy())
    found = parity(name, other, run, CONFIG)
    assert not found.passed and "more than 0.001" in found.sentence
    assert parity(name, other, run, GateConfig(parity=100.0)).passed
    found = parity(name, without(bundle, name, 1), run, GateConfig(parity=100.0))
    assert not found.passed and found.measured is None and "not those of the run" in found.sentence


def test_an_index_must_find_what_exact_search_finds():
    search = SearchEntry(kind="ivf", parameters={"lists": 4, "probes": 1}, recall_at_10=0.93, queries=100)
    entry = SpaceEntry(
        dim=2, count=9, table="a.safetensors", index="a.faiss", encoder="a.onnx", max_history=2, search=search
    )
    assert recall("behaviour", entry.model_copy(update={"search": None}), CONFIG) == []
    (found,) = recall("behaviour", entry, CONFIG)
    assert found.passed and "93.0%" in found.sentence
    poor = NextIndexEntry(file="b.faiss", scale=1.0, search=search.model_copy(update={"recall_at_10": 0.5}))
    found, other = recall("behaviour", entry.model_copy(update={"next_index": poor}), CONFIG)
    assert found.passed and not other.passed and other.name == "recall of the index of next items"


class Slow(Recommender):
    """Takes its time."""

    def recommend(self, *arguments, **options):
        time.sleep(0.02)
        return super().recommend(*arguments, **options)


def test_an_answer_is_too_slow_if_it_is_so_beside_the_champion_and_by_itself(bundle):
    histories = bundle.warm_up[:1]
    slow, quick = Slow(bundle), Recommender(bundle)
    strict = GateConfig(max_latency_ratio=1.0, latency_floor_ms=0.0)
    assert not latency(slow, quick, histories, strict).passed
    assert latency(slow, quick, histories, GateConfig(max_latency_ratio=1.0, latency_floor_ms=1e6)).passed
    assert latency(slow, slow, histories, GateConfig(max_latency_ratio=1000.0, latency_floor_ms=0.0)).passed
