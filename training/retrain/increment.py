"""New items between two trainings: they get pictures' and relations' vectors, and enter the active release.

Nothing is trained. What the release has keeps its vectors and its answers; `behaviour` learns of the new items at the
next retraining, until when look-alikes, relations and filters find them. Run again, it finds nothing new and does
nothing; killed, it leaves the store as it was, and run again it comes to the same.

What needs torch is imported when there is something to add: a schedule asks every few minutes.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsvc.answers.bundle import CATALOGUE_NAME
from recsvc.answers.tensors import map_tensors
from recsvc.data.graph import GraphTables
from recsvc.errors import ReleaseError
from recsvc.releases import Catalogue, CatalogueItem, Store, read_manifest
from recsvc.releases.stages import StageHook, no_hook
from training.config import parse_config
from training.graph.config import GraphConfig
from training.progress import Reporter
from training.retrain.attempts import Attempts
from training.retrain.candidate import attempt_of, champion_of, leading_of
from training.retrain.gate_verdict import Contender
from training.retrain.increment_data import Addition, Brought, Grown, Key, read_things
from training.retrain.increment_pictures import encode_pictures
from training.retrain.lock import store_lock, work_lock

ACTOR = "recsvc increment"
_IMAGE, _GRAPH = "image", "graph"


@dataclass(frozen=True)
class Incremented:
    """What came of an increment.

    Attributes:
        release: the id of the new release; None if there was nothing to add.
        sentence: what was added, or why nothing was.
    """

    release: str | None
    sentence: str


def increment(
    dataset: Path,
    store: Store,
    work: Path,
    *,
    run: Path | None = None,
    reporter: Reporter | None = None,
    stage: StageHook = no_hook,
) -> Incremented:
    """Add what a data set folder has in pictures and relations, and the active release has not.

    Args:
        dataset: the folder; its interactions are not read.
        store: with an active release.
        work: the work folder of retrainings.
        run: run folder that the release was published from; looked for in the work folder if None.
        reporter: where progress is shown.
        stage: called with every stage of publishing and activating.

    Raises:
        RunError: a retraining or another increment is at work, or ``run`` is that of another release.
        DatasetError: of the data set.
        ReleaseError: nothing is active, several releases share the traffic, or the active one is damaged.
    """
    reporter = reporter or Reporter(quiet=True)
    with work_lock(work), store_lock(store.path):
        parent = champion_of(store)
        if parent is None:
            raise ReleaseError(f"No release of {store.path} is active, so there is nothing to add to: retrain first.")
        if run is None and (key := attempt_of(store, parent.release)) is not None:
            run = Attempts(work).run_folder_of(key)
        config = parse_config(parent.manifest.config, f"the configuration of release {parent.release}")
        brought = read_things(dataset)
        catalogue = Catalogue.open(parent.folder / CATALOGUE_NAME)
        additions = _additions(parent, catalogue, brought, run, config.graph, reporter)
        grown, waiting = _grown(parent, catalogue, brought, additions)
        catalogue.close()
        waits = f"; {waiting:,} listed items have neither and wait" if waiting else ""
        if not grown.additions:
            return Incremented(None, f"nothing new in pictures or relations{waits}")
        said = _said(grown)
        release = _published(store, grown.facts)
        if release is None:
            from training.retrain.increment_release import fill_release

            release = store.publish(lambda staging: fill_release(staging, parent, grown, config, reporter), stage=stage)
        store.activate(release, actor=ACTOR, reason=f"{said}, added to {parent.release}", stage=stage)
        return Incremented(release, said + waits)


def dataset_of(store: Store, work: Path) -> Path | None:
    """The data set folder that the retraining behind the active release was asked to learn from, if there is one."""
    key = attempt_of(store, leading_of(store))
    attempt = None if key is None else Attempts(work).find(key)
    named = None if attempt is None else attempt.asked.sources["dataset"]
    return None if named is None else Path(named)


def _additions(
    parent: Contender,
    catalogue: Catalogue,
    brought: Brought,
    run: Path | None,
    config: GraphConfig,
    reporter: Reporter,
) -> dict[str, Addition]:
    """Vectors by space of what has none in the release; spaces without any are left out."""
    spaces, item_type = parent.manifest.spaces, catalogue.item_type
    items = {*brought.item_ids(item_type), *catalogue.ids[: catalogue.num_items]}
    found: dict[str, Addition] = {}
    image, graph = spaces.get(_IMAGE), spaces.get(_GRAPH)
    if image is not None and image.picture is not None and brought.images is not None:
        bare = {item_id for _, item_id in _bare(parent, _IMAGE, catalogue, [(item_type, each) for each in items])}
        found[_IMAGE] = encode_pictures(parent.folder, image, brought.images, bare, item_type, reporter)
    if graph is not None and brought.graph is not None:
        nodes = [key for key in _nodes(brought.graph, items, item_type) if key[0] != config.user_type]
        bare_nodes = _bare(parent, _GRAPH, catalogue, nodes)
        if bare_nodes and (why := _no_fold_in(run, config)) is not None:
            reporter.line(f"graph: {len(bare_nodes):,} nodes without a vector wait for the next training: {why}")
        elif bare_nodes and run is not None:
            from training.retrain.increment_graph import fold_in_nodes, open_run

            found[_GRAPH] = fold_in_nodes(open_run(run, parent.manifest), brought.graph, bare_nodes, reporter)
    return {name: addition for name, addition in found.items() if addition.things}


def _no_fold_in(run: Path | None, config: GraphConfig) -> str | None:
    """Why nodes cannot be folded into the model of a run; None if they can."""
    if config.corpus is not None:
        return "the model was trained on walks that were given"
    if run is None or not run.is_dir():
        return "the run of the active release is not in the work folder; name it by --run"
    return None


def _nodes(graph: GraphTables, items: Collection[str], item_type: str) -> list[Key]:
    """The nodes of the data set; of the items those that are listed or known."""
    nodes = [(name, node_id) for name in graph.node_types for node_id in graph.nodes[name].ids]
    return [(name, node_id) for name, node_id in nodes if name != item_type or node_id in items]


def _bare(parent: Contender, space: str, catalogue: Catalogue, things: Iterable[Key]) -> set[Key]:
    """Those of some things that have no vector in a space of a release."""
    rows = set(map_tensors(parent.folder / parent.manifest.spaces[space].table)["catalogue_rows"].tolist())
    return {(name, thing) for name, thing in things if catalogue.row(thing, name) not in rows}


def _grown(
    parent: Contender, catalogue: Catalogue, brought: Brought, additions: dict[str, Addition]
) -> tuple[Grown, int]:
    """What comes to the release, and how many listed items it does not know and that get no vector."""
    item_type = catalogue.item_type
    new = {
        (name, thing)
        for addition in additions.values()
        for name, thing in addition.things
        if catalogue.row(thing, name) is None
    }
    names, listed = brought.names(item_type), brought.item_ids(item_type)
    items = [
        CatalogueItem(item.item_id, item.title or names.get(item.item_id), item.attributes, 0, item_type)
        for item in listed.values()
        if (item_type, item.item_id) in new
    ]
    # A catalogue numbers things of one type in one run of rows as training writes them: new ones follow, by type.
    others = [
        CatalogueItem(thing, brought.names(name).get(thing), {}, 0, name)
        for name, thing in sorted(new)
        if name != item_type
    ]
    waiting = sum(1 for item_id in listed if catalogue.row(item_id) is None and (item_type, item_id) not in new)
    return Grown(items, others, additions, _facts(parent.release, items, others, additions)), waiting


def _facts(
    parent: str, items: list[CatalogueItem], others: list[CatalogueItem], additions: dict[str, Addition]
) -> dict[str, Any]:
    """What the manifest says, with a sum by which a process that comes after a crash finds what is there already."""
    digest = hashlib.sha256(parent.encode())
    for item in (*items, *others):
        named = [item.node_type, item.item_id, item.title, item.attributes]
        digest.update(json.dumps(named, sort_keys=True).encode())
    for name, addition in sorted(additions.items()):
        digest.update(json.dumps([name, addition.things]).encode())
        digest.update(addition.vectors.tobytes())
    return {
        "parent": parent,
        "items": len(items),
        "other_things": len(others),
        "vectors": {name: len(addition.things) for name, addition in sorted(additions.items())},
        "sha256": digest.hexdigest(),
    }


def _published(store: Store, facts: dict[str, Any]) -> str | None:
    """A whole release that is just what would be published: of a process that was killed before it was activated."""
    for info in store.list():
        if info.damage is None and read_manifest(store.path_of(info.id)).data.get("increment") == facts:
            return info.id
    return None


def _said(grown: Grown) -> str:
    vectors = ", ".join(f"{name} {count:,}" for name, count in grown.facts["vectors"].items())
    return f"new items {len(grown.items):,}, other new things {len(grown.others):,}; vectors: {vectors}"
