"""The service answers what the trained model answers, through a swap of releases and with damaged ones about."""

import importlib.util
import itertools
import os
import random
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from recsvc.data import make_split
from recsvc.releases import Store
from training.run import Run
from training.sequence.data import prepare_sequences
from training.sequence.offline import offline_next_items
from training.sequence.space import BehaviourSpace
from training.spaces import SPACES

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "served_equals_offline.py"


@pytest.fixture(scope="session")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("served_equals_offline", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def compare(benchmark, monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    """Run the benchmark; returns its exit code and what it prints."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["served_equals_offline.py", *map(str, arguments)])
        code = benchmark.main()
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def store(ring, tmp_path) -> Path:
    """A copy of the store, to change."""
    return shutil.copytree(ring.store, tmp_path / "store")


def flip_bit(file: Path, *, seed: int = 0) -> None:
    """Flip one bit of a file, by a rename: a process may have the file mapped."""
    content = bytearray(file.read_bytes())
    place = random.Random(seed).randrange(len(content))
    content[place] ^= 1 << random.Random(seed).randrange(8)
    changed = file.with_name("changed")
    changed.write_bytes(content)
    changed.replace(file)


class Offline:
    """The answers of a run's PyTorch model in the user's ids."""

    def __init__(self, folder: Path) -> None:
        run = Run.open(folder)
        self._log = run.load_log()
        self._data = prepare_sequences(self._log, make_split(self._log, run.config.split))
        self._model = BehaviourSpace().load_model(run, self._data)
        self._rows = {row: n for n, row in enumerate(self._data.vocabulary.tolist())}

    def histories(self, count: int) -> list[list[str]]:
        """Whole histories of the first users."""
        ends = zip(self._log.offsets[:count], self._log.offsets[1 : count + 1], strict=True)
        return [self._log.item_ids.ids_of(self._log.items[begin:end]) for begin, end in ends]

    def answer(self, history: list[str], k: int) -> list[tuple[str, float]]:
        """Ids and scores, best first."""
        rows = [self._rows[self._log.item_ids.row_of(item)] for item in history]
        (answers,) = offline_next_items(self._model, [rows], k)
        ids = self._log.item_ids.ids_of(self._data.vocabulary[[row for row, _ in answers]])
        return [(item, score) for item, (_, score) in zip(ids, answers, strict=True)]


def test_two_hundred_histories(ring, serve, compare, recsvc):
    with serve(ring.store) as service:
        service.wait_ready(ring.release)
        code, said = compare(ring.run, "--url", service.url)
        assert code == 0 and "200 of 200 served answers equal the offline ones" in said
        code, said = compare(ring.run, "--url", service.url, "--queries", 20, "-k", 1, "--seed", 5)
        assert code == 0 and "20 of 20" in said
        history = ["item/1", "nobody's", "Zoë 🎬", "a, b", "-k"]
        status, served = service.ask("POST", "/v1/recommendations", {"history": history, "k": 7})
        assert status == 200
        printed = recsvc("recommend", "--store", ring.store, "-k", 7, "--json", "--", *history).json()
        assert printed == {name: served[name] for name in printed} and len(printed["items"]) == 7
        status, served = service.ask("POST", "/v1/similar", {"space": "behaviour", "ids": ["item/1", "-k"], "k": 4})
        assert status == 200
        printed = recsvc("similar", "--store", ring.store, "-k", 4, "--json", "--", "item/1", "-k").json()
        assert printed == {name: served[name] for name in printed} and len(printed["items"]) == 4
        assert service.stop() == 0
    assert [event["event"] for event in service.events()][-1] == "stopped"


def test_a_run_that_is_not_served_is_found_out(ring, serve, compare, other_run):
    with serve(ring.store) as service:
        service.wait_ready()
        code, said = compare(other_run, "--url", service.url, "--queries", 30)
        assert code == 1 and "30 of 30" not in said


@pytest.fixture(scope="module")
def other_run(ring, recsvc, tiny_settings, tmp_path_factory) -> Path:
    """The same ring, trained from another seed."""
    run = tmp_path_factory.mktemp("other") / "run"
    outcome = recsvc("train", ring.dataset, "--out", run, *tiny_settings(sequence__loop__seed=1))
    assert outcome.code == 0, outcome
    return run


def test_a_swap_drops_and_mixes_nothing(ring, other_run, store, serve, recsvc):
    """Three clients ask on while releases come and go: each answer is whole and from one of the two."""
    other = recsvc("publish", other_run, "--store", store).out.strip()
    models = {ring.release: Offline(ring.run), other: Offline(other_run)}
    histories = models[other].histories(25)
    expected = {name: [model.answer(history, 5) for history in histories] for name, model in models.items()}
    assert expected[ring.release] != expected[other]
    answers: list[tuple[int, int, dict]] = []
    stop = threading.Event()

    def ask_on() -> None:
        for n in itertools.cycle(range(len(histories))):
            if stop.is_set():
                return
            answers.append((n, *service.ask("POST", "/v1/recommendations", {"history": histories[n], "k": 5})))

    with serve(store) as service:
        service.wait_ready(ring.release)
        clients = [threading.Thread(target=ask_on) for _ in range(3)]
        for client in clients:
            client.start()
        try:
            for release in (other, ring.release, other):
                assert recsvc("releases", "activate", release, "--store", store).code == 0
                service.wait_ready(release)
                asked = len(answers)
                service.wait_for(lambda asked=asked: len(answers) > asked + 20, "more answers")
        finally:
            stop.set()
            for client in clients:
                client.join(30)
        assert service.stop() == 0
    assert {status for _, status, _ in answers} == {200}
    assert {answer["release"] for _, _, answer in answers} == {ring.release, other}
    for n, _, answer in answers:
        wanted = expected[answer["release"]][n]
        assert [item["item_id"] for item in answer["items"]] == [item for item, _ in wanted]
        assert [item["score"] for item in answer["items"]] == pytest.approx([score for _, score in wanted], abs=1e-4)
    taken = [event["release"] for event in service.events() if event["event"] == "release"]
    assert taken == [ring.release, other, ring.release, other]


def test_damaged_releases_are_refused_by_name(ring, store, serve, recsvc):
    """A flipped bit in any file, manifest included: not activated, not taken up, and what is served stays."""
    third = recsvc("publish", ring.run, "--store", store).out.strip()
    folder = Store(store).path_of(third)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert set(names) == {"manifest.json", *Store(store).verify(third).files}
    with serve(store) as service:
        service.wait_ready(ring.release)
        for seed, name in enumerate(names):
            whole = (folder / name).read_bytes()
            flip_bit(folder / name, seed=seed)
            outcome = recsvc("releases", "activate", third, "--store", store)
            assert outcome.code == 2 and outcome.out == "" and outcome.err.count("\n") == 1
            assert third in outcome.err and f" {name} is damaged" in outcome.err
            (folder / "whole").write_bytes(whole)
            (folder / "whole").replace(folder / name)
        # Damaged after it was activated, before the service looks: as a disk would do it.
        service.process.send_signal(signal.SIGSTOP)
        assert recsvc("releases", "activate", third, "--store", store).code == 0
        flip_bit(folder / "behaviour" / "items.safetensors")
        service.process.send_signal(signal.SIGCONT)
        service.wait_for(lambda: any(event["event"] == "release refused" for event in service.events()), "a refusal")
        status, answer = service.ask("POST", "/v1/recommendations", {"history": ["item/1"], "k": 3})
        assert status == 200 and answer["release"] == ring.release
        assert service.ask("GET", "/readyz") == (200, {"status": "ready", "release": ring.release})
        assert service.stop() == 0
    (refusal,) = [event for event in service.events() if event["event"] == "release refused"]
    assert refusal["release"] == third and "behaviour/items.safetensors is damaged" in refusal["problem"]


def test_a_damaged_active_release_is_not_served_after_a_restart(ring, store, serve, recsvc):
    flip_bit(Store(store).path_of(ring.release) / "behaviour" / "encoder.onnx")
    with serve(store) as service:
        service.wait_for(lambda: any(event["event"] == "release refused" for event in service.events()), "a refusal")
        assert service.ask("GET", "/livez")[0] == 200
        assert service.ask("GET", "/readyz")[0] == 503
        assert service.ask("POST", "/v1/recommendations", {"history": ["item/1"]})[0] == 503
        (refusal,) = [event for event in service.events() if event["event"] == "release refused"]
        assert refusal["release"] == ring.release and "behaviour/encoder.onnx is damaged" in refusal["problem"]
        # A good release mends it without a restart.
        other = recsvc("publish", ring.run, "--store", store, "--activate").out.strip()
        service.wait_ready(other)
        assert service.stop() == 0


REAL = {
    "runtime.threads": os.cpu_count() or 1,
    "split.validation_users": 100,
    "sequence.model.max_length": 20,
    "sequence.loop.epochs": 1,
    "sequence.rows.tokens_per_batch": 20_000,
    "sequence.rows.window_step": 1.0,
    "graph.walks.per_node": 1,
    "graph.evaluation.hidden_links": 0,
    "image.loop.epochs": 1,
    "image.batch_size": 128,
}
QUESTIONS = {
    "ml-1m": [
        "next items",
        "behaviour by id",
        "graph by id",
        "graph by node type",
        "graph across types",
        "image by id",
    ],
    "amazon-beauty-5core": ["next items", "behaviour by vector"],
    "dblp-four-area": ["graph by id", "graph by ids", "graph by vector", "graph by node type", "graph across types"],
    "clothing-small": ["image by id", "image by ids", "image by vector", "image by upload"],
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", QUESTIONS)
def test_real_data(name, real_data, recsvc, tiny_settings, serve, compare, tmp_path):
    """Any data set folder passes check, train, evaluate, publish, serve and recommend."""
    dataset, run, store = real_data(name), tmp_path / "run", tmp_path / "store"
    settings = tiny_settings(**{key.replace(".", "__"): value for key, value in REAL.items()})
    assert recsvc("check", dataset).code == 0
    trained = recsvc("train", dataset, "--out", run, *settings)
    assert trained.code == 0, trained
    evaluated = recsvc("evaluate", run)
    assert evaluated.code == 0 and {line for line in evaluated.out.splitlines() if line in SPACES} == set(
        Run.open(run).read_json("evaluation.json")
    )
    release = recsvc("publish", run, "--store", store, "--activate").out.strip()
    with serve(store) as service:
        service.wait_ready(release)
        code, said = compare(run, "--url", service.url)
        assert code == 0, said
        kinds = dict(line.split(": ", 1) for line in said.splitlines())
        assert set(QUESTIONS[name]) <= set(kinds)
        assert all(re.match(r"\d+ of 200 served", answers) for answers in kinds.values()), said
        assert service.stop() == 0
    if "next items" in kinds:
        answer = recsvc("recommend", "--store", store, "-k", 5, "--json", "1", "2", "3").json()
        assert answer["release"] == release and answer["unknown"] == [] and len(answer["items"]) == 5
