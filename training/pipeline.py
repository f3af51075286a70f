"""The stages behind the commands: train, evaluate, publish. Each can be run again and goes on where it stopped."""

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from recsvc.answers.attribute_lists import write_attributes
from recsvc.answers.attributes import ATTRIBUTES_NAME
from recsvc.data import Dataset, read_dataset
from recsvc.errors import DatasetError, RunError
from recsvc.releases import ManifestDraft, SpaceEntry, Store
from recsvc.releases.stages import StageHook, no_hook
from training.card import CARD_NAME, model_card
from training.config import Config, load_config
from training.distributed import several_processes
from training.indexes import index_space
from training.progress import Reporter
from training.run import Run, check_new, locked
from training.runs import note_release
from training.runtime import available_cores, prepare_process
from training.sequence.space import BehaviourSpace
from training.spaces import SHARED, SPACES, Space, spaces_in, spaces_of
from training.tracking import write_board
from training.usage import measured


def train(
    dataset_path: Path,
    out: Path,
    *,
    config: Config | None = None,
    only: Collection[str] = (),
    resume: bool = False,
    prepared: Callable[[Run], None] | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Read a data set folder and train every space it has files for, into a run folder.

    Nothing is written before the data set has been read and found good.

    Args:
        dataset_path: data set folder.
        out: run folder to make, or to go on with.
        config: settings; with ``resume`` None means those of the run.
        only: names of spaces to train; empty means all that the data set has files for.
        resume: go on with the run in ``out``.
        prepared: called with the run before anything of it is trained, each time anew; it may put in initial weights,
            or whole spaces that are trained already.
        reporter: where progress is shown.

    Raises:
        DatasetError, ConfigError, RunError: the caller can mend it; the message says how.
        InterruptedTrainingError: a signal asked to stop; the state is saved.
    """
    reporter = reporter or Reporter(quiet=True)
    if config is None:
        config = Run.open(out).config if resume and (out / "run.json").is_file() else load_config()
    prepare_process(config.runtime)
    with several_processes() as world, ExitStack() as held:

        def begin() -> dict[str, bool]:
            begun = prepared is not None or (resume and (out / "run.json").is_file())
            chosen = _begin(
                dataset_path, out, config, only, resume=resume, alone=world.size == 1, held=held, to=reporter
            )
            run = Run.open(out)
            if prepared is not None:
                prepared(run)
            return {name: begun and spaces_in(run)[name].trained(run) for name in chosen}

        # Of each chosen space whether it is trained already; the lock is held until the last one is.
        spaces = world.from_first(begin)
        run = Run.open(out)
        known = spaces_in(run)
        for name, trained in spaces.items():
            ending = "trained already"
            if not trained:
                with measured(run, name) if world.first else nullcontext():
                    ending = known[name].train(run, resume=resume, reporter=reporter)
            if world.first:
                reporter.line(f"{name}: {ending}")
    return run


def _begin(
    dataset_path: Path,
    out: Path,
    config: Config,
    only: Collection[str],
    *,
    resume: bool,
    alone: bool,
    held: ExitStack,
    to: Reporter,
) -> list[str]:
    """Make or check the run folder; the names of the chosen spaces."""
    unfinished = resume and (out / "run.json").is_file()
    if not unfinished:
        check_new(out)
    dataset = read_dataset(dataset_path, config.data)
    known = spaces_of(dataset)
    available = {name for name, space in known.items() if space.available(dataset, config)}
    spaces = _chosen(dataset_path, known, available, only)
    trained = {name: unfinished and space.trained(Run.open(out)) for name, space in spaces.items()}
    single = [name for name, done in trained.items() if not done and name in SPACES and name not in SHARED]
    if single and not alone:
        raise RunError(
            f"{single[0]}: this space is trained by one process; give torchrun `--only {','.join(SHARED)}`, and train "
            "the others without torchrun and with --resume"
        )
    if not unfinished:
        for space in spaces.values():
            space.check(dataset, config)
    held.enter_context(locked(out))
    if unfinished:
        run = Run.open(out)
        run.require_same(dataset, config)
        # A run may be resumed with further spaces.
        further = {name: space for name, space in spaces.items() if not run.data(name).is_dir()}
        for space in further.values():
            space.check(dataset, config)
        _prepare(run, further, dataset, to)
    else:
        Run.prepare(out, dataset, config, partial(_prepare, spaces=spaces, dataset=dataset, reporter=to))
    return list(spaces)


def evaluate(run: Run, *, reporter: Reporter | None = None) -> dict[str, Any]:
    """Test metrics of every trained space; also kept in ``RUN/evaluation.json``.

    Raises:
        RunError: no space has been trained to its end.
    """
    reporter = reporter or Reporter(quiet=True)
    prepare_process(run.config.runtime)
    found = {name: space.evaluate(run, reporter) for name, space in trained_spaces(run).items()}
    run.write_json("evaluation.json", found)
    write_board(run, found)
    return found


def kept_metrics(run: Run, spaces: Collection[str]) -> dict[str, Any] | None:
    """What :func:`evaluate` has kept, or None unless that is of just these spaces."""
    metrics = run.read_json("evaluation.json")
    return metrics if metrics is not None and set(metrics) == set(spaces) else None


def publish(
    run: Run,
    store: Store,
    *,
    activate: bool = False,
    actor: str = "command line",
    facts: Mapping[str, Any] | None = None,
    stage: StageHook = no_hook,
    reporter: Reporter | None = None,
) -> str:
    """Export a run's spaces as one release; evaluates first if that has not been done.

    Args:
        run: trained.
        store: where the release appears, whole or not at all.
        activate: whether it takes traffic.
        actor: who activates it, for the log of promotions.
        facts: what else the manifest says of the data and of how the run came about.
        stage: called with every stage of publishing as it is reached.
        reporter: where progress is shown.

    Returns:
        The id of the release.

    Raises:
        RunError: no space has been trained to its end.
        ReleaseError: the store cannot be written.
    """
    reporter = reporter or Reporter(quiet=True)
    spaces = trained_spaces(run)
    metrics = kept_metrics(run, spaces) or evaluate(run, reporter=reporter)

    def fill(staging: Path) -> ManifestDraft:
        entries: dict[str, SpaceEntry] = {}
        warmup: dict[str, Any] = {}
        for name, space in spaces.items():
            reporter.line(f"{name}: exporting")
            folder = staging / name
            folder.mkdir()
            entries[name] = _indexed(run, space.export(run, folder), staging, reporter)
            warmup |= space.warmup(run)
        shutil.copyfile(run.folder / "catalogue.sqlite", staging / "catalogue.sqlite")
        write_attributes(staging / ATTRIBUTES_NAME, run.catalogue())
        (staging / "warmup.json").write_text(json.dumps(warmup, ensure_ascii=False), "utf-8")
        data = {key: run.facts[key] for key in ("fingerprint", "dataset", "created", "environment")}
        data["dataset"] = Path(data["dataset"]).name
        data |= facts or {}
        config = run.config.model_dump(mode="json")
        draft = ManifestDraft(data=data, config=config, metrics=metrics, spaces=entries)
        (staging / CARD_NAME).write_text(model_card(run, draft), "utf-8")
        return draft

    release = store.publish(fill, stage=stage)
    note_release(run, release)
    if activate:
        store.activate(release, actor=actor, reason=f"published from {run.folder.name}")
    return release


def _indexed(run: Run, entry: SpaceEntry, release: Path, reporter: Reporter) -> SpaceEntry:
    config = run.config.index
    return index_space(
        entry,
        release,
        config,
        # The one space that reads histories.
        histories=None if entry.max_history is None else lambda: BehaviourSpace().histories(run, config.queries),
        threads=run.config.runtime.threads or available_cores(),
        reporter=reporter,
    )


def publish_once(run: Run, store: Store, *, actor: str, reporter: Reporter | None = None) -> None:
    """Publish and activate a run in a store of its own, unless an earlier call has."""
    active = store.current() if store.path.exists() else []
    if not active or store.verify(active[0].id).data.get("created") != run.facts["created"]:
        publish(run, store, activate=True, actor=actor, reporter=reporter)


def trained_spaces(run: Run) -> dict[str, Space]:
    """The spaces whose training has come to its end.

    Raises:
        RunError: there is none.
    """
    spaces = {name: space for name, space in spaces_in(run).items() if space.trained(run)}
    if not spaces:
        raise RunError(
            f"{run.folder}: no space is trained to its end; go on with "
            f"`recsvc train {run.facts['dataset']} --out {run.folder} --resume`"
        )
    return spaces


def _prepare(run: Run, spaces: Mapping[str, Space], dataset: Dataset, reporter: Reporter) -> None:
    for name, space in spaces.items():
        space.prepare(run.data(name), dataset, run.config, reporter)


def _chosen(
    dataset: Path, known: Mapping[str, Space], available: Collection[str], only: Collection[str]
) -> dict[str, Space]:
    for name in only:
        if name not in known:
            raise RunError(f"--only {name}: there is no such space; there are {', '.join(known)}")
        if name not in available:
            raise DatasetError(f"{dataset}: has no files for the space {name!r} (see `recsvc check`)")
    chosen = {name: space for name, space in known.items() if name in (only or available)}
    if not chosen:
        raise DatasetError(
            f"{dataset}: nothing to train on; bring interactions, edges, images or vectors, such as interactions.csv, "
            "edges.csv or a folder images"
        )
    return chosen
