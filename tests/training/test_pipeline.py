"""Train, evaluate, publish and answer on a ring whose next item is certain."""

import json

import numpy as np
import pytest

from recsvc.answers.attributes import ATTRIBUTES_NAME, open_attributes
from recsvc.data import make_split, read_dataset
from recsvc.errors import ConfigError, DatasetError, RunError
from recsvc.releases import Catalogue, Store
from recsvc.search.filters import parse_filter
from training import FittedRun, fit, pipeline
from training.config import load_config
from training.run import Run, locked
from training.sequence.baselines import popularity_scorer
from training.sequence.data import prepare_sequences
from training.sequence.evaluate import evaluate_ranks, model_scorer
from training.sequence.offline import offline_next_items
from training.sequence.space import BehaviourSpace


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, cycle_dataset, small_settings):
    return fit(cycle_dataset, tmp_path_factory.mktemp("ring") / "run", settings=small_settings, quiet=True)


def test_the_ring_is_learnt(fitted):
    result = fitted.evaluate()["behaviour"]
    assert result["model"]["hr@1"] > 0.95
    assert result["baselines"]["popularity"]["hr@1"] < 0.3
    assert result["protocol"]["items_ranked"] == 30
    assert result["protocol"]["data_sha256"] == read_dataset(fitted.run.facts["dataset"]).fingerprint
    assert json.loads((fitted.run.folder / "evaluation.json").read_text("utf-8"))["behaviour"] == result


def test_notebook_answers_are_the_models(fitted):
    run = fitted.run
    log = run.load_log()
    data = prepare_sequences(log, make_split(log, run.config.split))
    model = BehaviourSpace().load_model(run, data)
    rng = np.random.default_rng(0)
    for length in (1, 2, 11, 12, 25):  # the model reads 11 items
        history = rng.integers(0, data.num_items, size=length).tolist()
        ids = log.item_ids.ids_of(data.vocabulary[history])
        ((expected, *_), *_) = [offline_next_items(model, [history], 5)]
        found = fitted.recommend(ids, k=5)
        wanted = log.item_ids.ids_of(data.vocabulary[[row for row, _ in expected]])
        assert [item.item_id for item in found.items] == wanted
        assert [item.score for item in found.items] == pytest.approx([score for _, score in expected], abs=1e-4)
    assert fitted.recommend(["item/4", "item/5", "item/6"], k=1).items[0].item_id == "item/7"
    assert fitted.recommend(["item/4", "nobody's"], k=1).unknown == ["nobody's"]


def test_the_first_question_publishes_once(fitted):
    fitted.recommend(["item/1"], k=1)
    again = FittedRun.open(fitted.run.folder)
    assert again.recommend(["item/1"], k=1).release == fitted.recommend(["item/1"], k=1).release
    assert len(Store(fitted.run.folder / "store").list()) == 1


def test_similar_in_the_notebook(fitted):
    found = fitted.similar(id="item/3", k=4)
    assert len(found.items) == 4 and "item/3" not in {item.item_id for item in found.items}


def test_the_catalogue_counts_training_events_only(fitted):
    store = Store(fitted.run.folder / "store")
    (active,) = store.current()
    catalogue = Catalogue.open(store.path_of(active.id) / "catalogue.sqlite")
    log = fitted.run.load_log()
    split = make_split(log, fitted.run.config.split)
    assert len(catalogue) == 32  # two listed items that nobody touched
    assert catalogue.popularity.sum() == (split.train_ends - log.offsets[:-1]).sum() < len(log)
    (item,) = catalogue.items([catalogue.row("item/3")])
    assert (item.title, item.attributes) == ("Number 3", {"kind": ["odd", "prime"]})


def test_a_release_holds_the_inverted_lists_of_its_catalogue(fitted):
    fitted.recommend(["item/1"], k=1)  # publishes
    store = Store(fitted.run.folder / "store")
    (active,) = store.current()
    folder = store.path_of(active.id)
    assert (folder / ATTRIBUTES_NAME).is_file()
    catalogue = Catalogue.open(folder / "catalogue.sqlite")
    odd = open_attributes(folder, catalogue).mask(parse_filter({"attribute": "kind", "eq": "prime"}))
    assert odd.tolist() == [item.attributes["kind"] == ["odd", "prime"] for item in catalogue]


def test_ranks_equal_a_loop_over_targets(fitted):
    run = fitted.run
    log = run.load_log()
    data = prepare_sequences(log, make_split(log, run.config.split))
    model = BehaviourSpace().load_model(run, data)
    for scorer in (model_scorer(model, data, data.test), popularity_scorer(data)):
        ranks = evaluate_ranks(scorer, data, data.test, exclude_seen=True)
        for n in range(0, len(data.test), 7):
            begin, end, target = data.test.begins[n], data.test.ends[n], data.test.items[n]
            scores = scorer(np.array([begin]), np.array([end]))[0]
            seen = set(data.items[begin:end].tolist())
            others = [scores[item] for item in range(data.num_items) if item not in seen and item != target]
            rank = 1 + sum(s > scores[target] for s in others) + sum(s == scores[target] for s in others) / 2
            assert ranks[n] == (np.inf if target in seen else pytest.approx(rank))


def test_test_histories_hold_the_validation_item(fitted):
    log = fitted.run.load_log()
    data = prepare_sequences(log, make_split(log, fitted.run.config.split))
    for n, user in enumerate(data.test.users.tolist()):
        history = data.vocabulary[data.items[data.test.begins[n] : data.test.ends[n]]]
        np.testing.assert_array_equal(history, log.history(user)[:-1])


def test_a_run_is_never_overwritten(fitted, cycle_dataset, small_settings, tmp_path):
    with pytest.raises(RunError, match=r"holds a run already; add --resume"):
        fit(cycle_dataset, fitted.run.folder, quiet=True)
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RunError, match=r"not empty \(it holds 'mine.txt'\)"):
        fit(cycle_dataset, tmp_path, quiet=True)
    with pytest.raises(RunError, match=r"sequence\.model\.dim was 32, now 16"):
        fit(
            cycle_dataset,
            fitted.run.folder,
            settings=small_settings | {"sequence.model.dim": 16},
            resume=True,
            quiet=True,
        )


def test_resuming_on_changed_data_is_refused(tmp_path, cycle_dataset, small_settings):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    for file in cycle_dataset.iterdir():
        (dataset / file.name).write_bytes(file.read_bytes())
    settings = small_settings | {"sequence.loop.epochs": 1}
    fit(dataset, tmp_path / "run", settings=settings, quiet=True)
    with (dataset / "interactions.csv").open("a") as file:
        file.write("user 0,item/1,99999999\n")
    with pytest.raises(RunError, match="has changed since"):
        fit(dataset, tmp_path / "run", settings=settings, resume=True, quiet=True)


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path, cycle_dataset, small_settings):
    with locked(tmp_path / "run"), pytest.raises(RunError, match="another process is training"):
        fit(cycle_dataset, tmp_path / "run", settings=small_settings, quiet=True)


def test_another_machine_may_go_on(fitted, cycle_dataset, small_settings):
    settings = small_settings | {"runtime.threads": 1, "runtime.keep_memory": False}
    assert fit(cycle_dataset, fitted.run.folder, settings=settings, resume=True, quiet=True).run.facts


def test_a_device_that_is_not_there_leaves_nothing(tmp_path, cycle_dataset, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="finds no such device"):
        fit(cycle_dataset, tmp_path / "run", settings={"runtime.accelerator": "cuda"}, quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_diverged_training_is_said(tmp_path, cycle_dataset, small_settings):
    settings = small_settings | {"sequence.loop.learning_rate": 1e30, "sequence.loop.warmup_steps": 0}
    with pytest.raises(RunError, match="diverged at step"):
        fit(cycle_dataset, tmp_path / "run", settings=settings, quiet=True)


def test_weights_of_nothing_teach_nothing(tmp_path):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    rows = [f"u{user},i{(user + step) % 5},0" for user in range(9) for step in range(5)]
    (dataset / "interactions.csv").write_text("\n".join(["user_id,item_id,weight", *rows]) + "\n")
    with pytest.raises(DatasetError, match="weighs 0"):
        fit(dataset, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_release_carries_nobodys_history(fitted):
    fitted.recommend(["item/1"], k=1)
    store = Store(fitted.run.folder / "store")
    (active,) = store.current()
    histories = json.loads((store.path_of(active.id) / "warmup.json").read_text("utf-8"))["histories"]
    assert {len(history) for history in histories} >= {1, 11}  # the model reads 11 items
    log = fitted.run.load_log()
    people = {tuple(log.item_ids.ids_of(log.history(user))) for user in range(log.num_users)}
    assert not any(tuple(history) in people for history in histories if len(history) > 3)


def test_a_retrained_run_is_published_anew(cycle_dataset, small_settings, tmp_path):
    settings = small_settings | {"sequence.loop.epochs": 1}
    store = Store(tmp_path / "store")
    for name in ("first", "second"):
        run = fit(cycle_dataset, tmp_path / name, settings=settings, quiet=True).run
        run.facts["created"] = name  # two runs may be made within a second
        for _ in range(2):
            pipeline.publish_once(run, store, actor="test")
    assert len(store.list()) == 2


def test_a_killed_preparation_is_made_anew(tmp_path, cycle_dataset, small_settings):
    run = tmp_path / "run"
    (run / "data" / "behaviour").mkdir(parents=True)
    (run / "catalogue.sqlite").write_bytes(b"torn")
    fitted = fit(cycle_dataset, run, settings=small_settings | {"sequence.loop.epochs": 1}, resume=True, quiet=True)
    assert (fitted.run.folder / "run.json").is_file()


def test_a_bad_folder_leaves_nothing(tmp_path):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "interactions.csv").write_text("user_id,item_id\na,b\n")
    with pytest.raises(DatasetError, match="single interaction"):
        fit(dataset, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_folder_without_interactions_has_nothing_to_train(tmp_path):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "items.csv").write_text("item_id\na\n")
    with pytest.raises(DatasetError, match="nothing to train on"):
        fit(dataset, tmp_path / "run", quiet=True)


def test_unknown_spaces_are_named(tmp_path, cycle_dataset):
    with pytest.raises(RunError, match="no such space; there are behaviour, graph, image"):
        pipeline.train(cycle_dataset, tmp_path / "run", only=["behavior"])


def test_an_unfinished_run_cannot_be_published(tmp_path, cycle_dataset):
    dataset = read_dataset(cycle_dataset)
    run = Run.prepare(tmp_path / "run", dataset, load_config(), lambda run: None)
    with pytest.raises(RunError, match="no space is trained to its end"):
        pipeline.publish(run, Store(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


def test_events_and_weights_reach_the_model(tmp_path):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    lines = ["user_id,item_id,event,weight"]
    for user in range(30):
        for step in range(6):
            lines.append(f"u{user},i{(user + step) % 9},{'buy' if step % 2 else 'view'},{1 + step}")
    (dataset / "interactions.csv").write_text("\n".join(lines) + "\n")
    settings = {
        "data.events": ["buy"],
        "split.validation_users": 5,
        "sequence.loop.epochs": 1,
        "sequence.model.max_length": 8,
    }
    fitted = fit(dataset, tmp_path / "run", settings=settings, quiet=True)
    log = fitted.run.load_log()
    assert len(log) == 90 and set(log.weights.tolist()) == {2.0, 4.0, 6.0}
    data = prepare_sequences(log, make_split(log, fitted.run.config.split))
    np.testing.assert_array_equal(data.weights, log.weights)
    with pytest.raises(ConfigError, match="must be finite and at least 0"):
        fit(dataset, tmp_path / "other", settings={"data.event_weights": {"clicked": -1}}, quiet=True)
