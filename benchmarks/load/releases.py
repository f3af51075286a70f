"""Releases to measure, kept in a folder: one that a run publishes, or a drawn one of any size.

A drawn release goes through the product's own exporter: a sequence model with random weights, whose item vectors lie in
clusters, as trained ones do, and whose output layer is the identity, so that queries lie near the vectors of the
history. Latency and memory are those of a trained model of that shape; the answers mean nothing.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from recsvc.answers.attribute_lists import write_attributes
from recsvc.answers.attributes import ATTRIBUTES_NAME
from recsvc.answers.bundle import CATALOGUE_NAME
from recsvc.data import make_split
from recsvc.models.sequence.config import SequenceModelConfig
from recsvc.models.sequence.model import SequenceModel
from recsvc.releases import CatalogueItem, ManifestDraft, Store, read_manifest, write_catalogue
from training.index_config import IndexConfig
from training.indexes import index_space
from training.pipeline import publish_once
from training.progress import Reporter
from training.run import Run
from training.runtime import available_cores
from training.sequence.data import prepare_sequences
from training.sequence.evaluate import sampled_histories
from training.sequence.export import export_sequence
from training.sequence.space import BehaviourSpace

_GENRES = ("Action", "Comedy", "Crime", "Drama", "Fantasy", "Horror", "Music", "Mystery", "Noir", "Romance", "War")
_CLUSTER_SIZE, _MAX_CLUSTERS, _NOISE = 100, 2000, 0.4


@dataclass(frozen=True)
class Shape:
    """What a drawn release holds."""

    items: int
    dim: int = 64
    layers: int = 2
    heads: int = 2
    history: int = 50
    seed: int = 0
    prefix: str = "item-"
    index: Literal["auto", "flat", "hnsw", "ivf"] = "auto"


@dataclass(frozen=True)
class Subject:
    """A release under measurement.

    Attributes:
        store: the store in which it is active.
        release: its id.
        histories: held-out histories, item ids, oldest first.
        model: folder with the model's weights and ids, for peers that serve the same model.
        what: one line for the report.
    """

    store: Path
    release: str
    histories: list[list[str]]
    model: Path
    what: str

    @property
    def folder(self) -> Path:
        """The release's own folder."""
        return Store(self.store).path_of(self.release)

    @property
    def search(self) -> str:
        """How next items are searched, with the recall measured when it was published."""
        index = read_manifest(self.folder).spaces["behaviour"].next_index
        if index is None:
            return "exact"
        parameters = ", ".join(f"{name} {value}" for name, value in index.search.parameters.items())
        return f"{index.search.kind} ({parameters}), recall@10 {index.search.recall_at_10:.3f}"


def from_run(run_folder: Path, cache: Path, *, count: int = 5000, seed: int = 0) -> Subject:
    """Publish a run by the product's own command, once, and draw its test histories."""
    run = Run.open(run_folder)
    place = cache / f"run-{run_folder.resolve().name}"
    publish_once(run, Store(place / "store"), actor="benchmark")
    log = run.load_log()
    data = prepare_sequences(log, make_split(log, run.config.split))
    histories = [data.ids_of(log, rows) for rows in sampled_histories(data, count, seed)]
    model = BehaviourSpace().load_model(run, data)
    if not (place / "model").exists():
        _write_model(model, data.ids_of(log, range(data.num_items)), place / "model")
    config = model.config
    what = (
        f"run {run_folder.name}: {data.num_items} items, d {config.dim}, {config.layers} blocks, {config.heads} heads, "
        f"histories up to {config.max_history}; {len(histories)} test histories"
    )
    return Subject(place / "store", Store(place / "store").current()[0].id, histories, place / "model", what)


def drawn(shape: Shape, cache: Path, *, count: int = 5000, store: Path | None = None) -> Subject:
    """Draw a release and publish it, once; ``store`` puts it beside others, where it is not activated."""
    name = "-".join(f"{key}{value}".strip("-") for key, value in asdict(shape).items())
    shelf = Store(store or cache / name / "store")
    ids = [f"{shape.prefix}{number}" for number in range(shape.items)]
    clusters = _clusters(shape)
    note = shelf.path.parent / f"{name}.json"
    if not note.exists():
        model = _model(shape, clusters)
        with _all_cores():
            release = shelf.publish(lambda folder: _fill(folder, shape, model, ids, clusters))
        shutil.rmtree(cache / name / "model", ignore_errors=True)
        _write_model(model, ids, cache / name / "model")
        note.write_text(json.dumps({"release": release}), "utf-8")
    release = json.loads(note.read_text("utf-8"))["release"]
    if store is None and [active.id for active in shelf.current()] != [release]:
        shelf.activate(release, actor="benchmark", reason="to be measured")
    what = (
        f"drawn, weights random: {shape.items} items in {clusters.max() + 1} clusters, d {shape.dim}, {shape.layers} "
        f"blocks, {shape.heads} heads, histories up to {shape.history}; {count} drawn histories"
    )
    histories = [[ids[row] for row in rows] for rows in _histories(shape, clusters, count)]
    return Subject(shelf.path, release, histories, cache / name / "model", what)


def _model(shape: Shape, clusters: NDArray[np.int64]) -> SequenceModel:
    torch.manual_seed(shape.seed)
    config = SequenceModelConfig(
        dim=shape.dim, layers=shape.layers, heads=shape.heads, max_length=shape.history, dropout=0.0
    )
    model = SequenceModel(shape.items, config)
    vectors = _vectors(shape, clusters)
    with torch.no_grad():
        model.items.weight[: shape.items] = torch.from_numpy(vectors)
        model.bias.copy_(torch.from_numpy(np.log1p(_popularity(shape)).astype(np.float32) * 0.05))
        projection = model.projection[0]
        assert isinstance(projection, nn.Linear)
        nn.init.eye_(projection.weight)
    return model.eval()


def _clusters(shape: Shape) -> NDArray[np.int64]:
    """The cluster of every item; clusters differ in size."""
    count = min(_MAX_CLUSTERS, max(4, shape.items // _CLUSTER_SIZE))
    rng = np.random.default_rng((shape.seed, 1))
    shares = rng.dirichlet(np.full(count, 2.0))
    return rng.choice(count, size=shape.items, p=shares)


def _vectors(shape: Shape, clusters: NDArray[np.int64]) -> NDArray[np.float32]:
    """Centres in a space of a quarter of the width, Gaussian noise around them, lengths that vary a little."""
    rng = np.random.default_rng(shape.seed)
    rank = max(4, shape.dim // 4)
    basis = rng.normal(size=(rank, shape.dim)).astype(np.float32) / np.sqrt(rank)
    centres = rng.normal(size=(int(clusters.max()) + 1, rank)).astype(np.float32) @ basis
    vectors: NDArray[np.float32] = centres[clusters]
    vectors += _NOISE * rng.standard_normal(size=vectors.shape, dtype=np.float32)
    vectors *= rng.lognormal(0.0, 0.1, size=(len(vectors), 1)).astype(np.float32) / np.sqrt(shape.dim)
    return vectors


def _popularity(shape: Shape) -> NDArray[np.int64]:
    rng = np.random.default_rng((shape.seed, 2))
    return rng.permutation(10 * shape.items // np.arange(1, shape.items + 1))


def _histories(shape: Shape, clusters: NDArray[np.int64], count: int, part: int = 3) -> Iterator[NDArray[np.int64]]:
    """Histories of many lengths, in rows of the items, some longer than the model reads, each from a few clusters."""
    rng = np.random.default_rng((shape.seed, part))
    order = np.argsort(clusters, kind="stable")
    begins = np.searchsorted(clusters[order], np.arange(clusters.max() + 2))
    lengths = np.clip(rng.lognormal(np.log(0.7 * shape.history), 0.8, size=count), 1, 4 * shape.history).astype(int)
    sizes = np.diff(begins)
    filled = np.flatnonzero(sizes)
    for length in lengths.tolist():
        chosen = rng.choice(filled, size=3)
        of_step = chosen[rng.integers(0, 3, size=length)]
        yield order[begins[of_step] + (rng.random(length) * sizes[of_step]).astype(int)]


def _fill(
    folder: Path, shape: Shape, model: SequenceModel, ids: list[str], clusters: NDArray[np.int64]
) -> ManifestDraft:
    things = list(_things(shape, ids, clusters))
    write_catalogue(folder / CATALOGUE_NAME, things)
    write_attributes(folder / ATTRIBUTES_NAME, things)
    (folder / "behaviour").mkdir()
    index = IndexConfig(kind=shape.index)
    entry = index_space(
        export_sequence(model, np.arange(shape.items), folder / "behaviour"),
        folder,
        index,
        histories=lambda: [rows[-shape.history :] for rows in _histories(shape, clusters, index.queries, part=5)],
        threads=available_cores(),
        reporter=Reporter(),
    )
    warm_up = [[ids[row] for row in rows] for rows in _histories(shape, clusters, 20, part=6)]
    (folder / "warmup.json").write_text(json.dumps({"histories": warm_up}), "utf-8")
    return ManifestDraft(data={"drawn": asdict(shape)}, spaces={"behaviour": entry})


def _things(shape: Shape, ids: list[str], clusters: NDArray[np.int64]) -> Iterator[CatalogueItem]:
    rng = np.random.default_rng((shape.seed, 4))
    years = rng.integers(1930, 2026, size=shape.items).tolist()
    others = rng.integers(0, len(_GENRES), size=shape.items).tolist()
    popularity = _popularity(shape).tolist()
    for row, item_id in enumerate(ids):
        genres = sorted({_GENRES[clusters[row] % len(_GENRES)], _GENRES[others[row]]})
        attributes: dict[str, str | list[str]] = {"genres": genres, "year": str(years[row])}
        yield CatalogueItem(item_id, f"Title of {item_id}", attributes, popularity[row])


@contextmanager
def _all_cores() -> Iterator[None]:
    """Let this process, kept to the client's core, draw and build on all of them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _write_model(model: SequenceModel, ids: list[str], folder: Path) -> None:
    """What a peer needs to serve the same model; whole or not at all."""
    staging = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if model.attributes is not None:  # their sum with the items' own vectors is what is served
        state = {name: tensor for name, tensor in state.items() if not name.startswith("attributes.")}
        state["items.weight"] = model.table().detach()
    save_file(state, staging / "model.safetensors")
    config = model.config.model_copy(update={"attributes": ()})
    (staging / "config.json").write_text(config.model_dump_json(), "utf-8")
    (staging / "ids.json").write_text(json.dumps(ids), "utf-8")
    staging.rename(folder)
