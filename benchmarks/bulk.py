"""How long answers to everybody take: all users of a data set folder, and of a database that holds the same events.

    python benchmarks/bulk.py DATASET [--run RUN] [--threads N ...] [--repeats N] [--checked N]

Prints Markdown tables. Without --run the release has the default model of the `behaviour` space with random weights,
which cost what trained ones do. Releases and the database are kept in --cache. Release, histories and file system cache
are warm; what it takes to open them stands in a table of its own. Stages are summed over threads.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does, before NumPy is imported

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import pyarrow.parquet as pq
from load.report import print_begin, print_row, print_table

from recsvc.answers import Question, Recommender
from recsvc.answers.attribute_lists import write_attributes
from recsvc.answers.attributes import ATTRIBUTES_NAME
from recsvc.answers.bundle import CATALOGUE_NAME, WARM_UP_NAME, Bundle, open_bundle
from recsvc.answers.neighbours import Wanted
from recsvc.bulk import DatabaseHistories, DatasetHistories, HistorySource, recommend_all, similar_all
from recsvc.data import make_split, read_dataset
from recsvc.events import Database
from recsvc.events.importing import import_events, read_event_file
from recsvc.releases import Catalogue, ManifestDraft, Store
from training.catalogue import write_run_catalogue
from training.config import Config
from training.pipeline import publish_once
from training.progress import Reporter
from training.run import Run
from training.runtime import available_cores
from training.sequence.data import prepare_sequences
from training.sequence.export import export_sequence
from training.sequence.fit import build_model

_K = 20
_COMMAND = """
import sys
from recsvc.cli import run
run(sys.argv[1:])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""

Opened = TypeVar("Opened")


def main() -> int:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="data set folder with interactions")
    parser.add_argument("--run", type=Path, help="measure the release that this run publishes")
    parser.add_argument("--cache", type=Path, default=Path("runs/benchmark/bulk"), help="where releases are kept")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, available_cores()], help="threads to measure")
    parser.add_argument("--repeats", type=int, default=3, help="of every figure; the median is told")
    parser.add_argument("--checked", type=int, default=500, help="users whose answers are compared with single ones")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    store = _store(arguments)
    release = store.current()[0].id
    loading: list[tuple[str, float]] = []
    bundle = _timed("release", loading, lambda: open_bundle(store.path_of(release), release))
    from_folder = _timed(
        "data set folder", loading, lambda: DatasetHistories.read(arguments.dataset, bundle.catalogue, {})
    )
    url = _database(arguments)
    database = _timed("database", loading, lambda: Database.open(url, connections=1))
    sources: dict[str, HistorySource] = {
        "data set folder": from_folder,
        "SQLite database": DatabaseHistories(database, bundle.catalogue),
    }
    space = bundle.spaces["behaviour"]
    print(f"### Answers to everybody: {arguments.dataset.name}, {space.name} d {space.dim}, k {_K}\n")
    print(
        f"- {from_folder.count():,} users, {len(space.vectors):,} items; {available_cores()} cores, load average "
        f"{os.getloadavg()[0]:.1f}; median of {arguments.repeats}\n"
    )
    print_table(["opened", "s"], loading)
    print_begin(["histories of", "threads", "s", "users/s", "CPU s", "of it encoding", "of it scoring", "the rest"])
    for name, source in sources.items():
        for threads in dict.fromkeys(arguments.threads):
            print_row([name, threads, *_everybody(bundle, source, threads, arguments)])
    print(flush=True)
    print_table(["neighbours of all items in", "threads", "s", "items/s"], _neighbours(bundle, arguments))
    print(_process(store, url, arguments))
    print(_compared(bundle, from_folder, arguments))
    return 0


def _store(arguments: argparse.Namespace) -> Store:
    """The store with the release of the run, or with an untrained one."""
    if arguments.run is not None:
        store = Store(arguments.cache / arguments.run.resolve().name / "store")
        publish_once(Run.open(arguments.run), store, actor="benchmark")
        return store
    store = Store(arguments.cache / f"{arguments.dataset.resolve().name}-random" / "store")
    if not store.path.exists():
        store.activate(
            store.publish(lambda folder: _untrained(arguments.dataset, folder)), actor="benchmark", reason=""
        )
    return store


def _untrained(path: Path, folder: Path) -> ManifestDraft:
    """Fill a release folder with the default model of a data set, its weights as they are drawn."""
    config = Config()
    dataset = read_dataset(path, config.data)
    if dataset.log is None:
        raise SystemExit(f"{path} has no interactions")
    data = prepare_sequences(dataset.log, make_split(dataset.log, config.split))
    write_run_catalogue(folder / CATALOGUE_NAME, dataset, config)
    write_attributes(folder / ATTRIBUTES_NAME, Catalogue.open(folder / CATALOGUE_NAME))
    (folder / "behaviour").mkdir()
    entry = export_sequence(build_model(data.num_items, config.sequence), data.vocabulary, folder / "behaviour")
    (folder / WARM_UP_NAME).write_text("{}", "utf-8")
    return ManifestDraft(data={"fingerprint": dataset.fingerprint}, spaces={"behaviour": entry})


def _database(arguments: argparse.Namespace) -> str:
    """The URL of a SQLite database with the events of the data set."""
    path = arguments.cache.absolute() / f"{arguments.dataset.resolve().name}.sqlite"
    url = f"sqlite:///{path}"
    if not path.exists():
        (file,) = arguments.dataset.glob("interactions.*")
        staging = path.with_suffix(".writing")
        with Database.open(f"sqlite:///{staging}") as database, Reporter().work("importing", 0) as work:
            import_events(database, read_event_file(file), work.update)
        staging.rename(path)
    return url


def _timed(name: str, rows: list[tuple[str, float]], open_it: Callable[[], Opened]) -> Opened:
    started = perf_counter()
    opened = open_it()
    rows.append((name, perf_counter() - started))
    return opened


def _everybody(
    bundle: Bundle, source: HistorySource, threads: int, arguments: argparse.Namespace
) -> tuple[float, float, float, float, float, float]:
    """Seconds, users/s, CPU seconds, seconds of threads in each stage, seconds of the rest; the median of all."""
    out = arguments.cache / "recs.parquet"
    found = []
    for _ in range(arguments.repeats):
        stages: Counter[str] = Counter()
        began, cpu_began = perf_counter(), process_time()
        done = recommend_all(
            bundle,
            source,
            Question(k=_K),
            out,
            threads=threads,
            observe=lambda stage, seconds, stages=stages: stages.update({stage: seconds}),
        )
        seconds, cpu = perf_counter() - began, process_time() - cpu_began
        rest = seconds - sum(stages.values()) / threads
        found.append((seconds, done.answered / seconds, cpu, stages["encode"], stages["score"], rest))
    return sorted(found)[len(found) // 2]


def _neighbours(bundle: Bundle, arguments: argparse.Namespace) -> Iterator[tuple[str, int, float, float]]:
    out = arguments.cache / "similar.parquet"
    for space in bundle.spaces:
        for threads in dict.fromkeys(arguments.threads):
            seconds = []
            for _ in range(arguments.repeats):
                began = perf_counter()
                done = similar_all(bundle, space, Wanted(_K, (), None, None, 0.0, None), out, threads=threads)
                seconds.append(perf_counter() - began)
            middle = sorted(seconds)[len(seconds) // 2]
            yield space, threads, middle, done.answered / middle


def _process(store: Store, url: str, arguments: argparse.Namespace) -> str:
    """The command itself, opening included, as a process of its own, which tells its peak of memory in the end."""
    command = [sys.executable, "-c", _COMMAND, "recommend", "--all-users", "--k", str(_K), "--store", str(store.path)]
    command += ["--database", url, "--out", str(arguments.cache / "command.parquet")]
    began = perf_counter()
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    seconds = perf_counter() - began
    return (
        f"The command from the database, as a process: {seconds:.1f} s, {int(told.split()[1]) / 1024:.0f} MB at most.\n"
    )


def _compared(bundle: Bundle, source: DatasetHistories, arguments: argparse.Namespace) -> str:
    """One user after the other, as a script without this command would; and whether the answers are the same."""
    table = pq.read_table(arguments.cache / "recs.parquet").to_pydict()
    bulk: dict[str, list[tuple[str, float]]] = {}
    for user, item, score in zip(table["user_id"], table["item_id"], table["score"], strict=True):
        bulk.setdefault(user, []).append((item, score))
    recommender, ids = Recommender(bundle), bundle.catalogue.ids
    (histories,) = (found for found, _ in zip(source.after(None, 0, arguments.checked), "1", strict=False))
    asked = [[ids[row] for row in histories.of(number).tolist()] for number in range(len(histories))]
    began = perf_counter()
    single = [recommender.recommend(history, k=_K).items for history in asked]
    seconds = perf_counter() - began
    same = worst = 0.0
    for user, items in zip(histories.users, single, strict=True):
        scores = dict(bulk[user])
        same += [item.item_id for item in items] == [item for item, _ in bulk[user]]
        worst = max(worst, *(abs(scores[item.item_id] - item.score) for item in items if item.item_id in scores))
    return (
        f"One user after the other by `Recommender.recommend`: {len(asked) / seconds:.0f} users/s. Of {len(asked)} "
        f"users {same:.0f} have the same items in the same order; scores differ by {worst:.1g} at most."
    )


if __name__ == "__main__":
    sys.exit(main())
