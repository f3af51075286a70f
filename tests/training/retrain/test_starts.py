"""Where the spaces of a retraining begin: rows go by id, and a training that is killed ends in the same weights."""

import json
import shutil
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from recsvc.data import make_split, read_dataset
from training import pipeline
from training.config import load_config
from training.retrain.start import read_starts
from training.retrain.starts import apply_starts, choose_starts
from training.run import Run
from training.sequence.data import prepare_sequences
from training.sequence.fit import SequenceTask, build_model
from training.spaces import SPACES

pytestmark = pytest.mark.usefixtures("one_thread")


class Killed(BaseException):
    """Stands for `kill -9`."""


def settings(base, **changes):
    named = base | {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(overrides=[f"{key}={json.dumps(value)}" for key, value in named.items()])


@pytest.fixture(scope="module")
def config(trio_settings):
    attributes = {
        "sequence.model.attributes": ["kind"],
        "sequence.model.dim": 16,
        "sequence.loop.checkpoint_seconds": 0,
        "image.evaluation.probe": False,  # which takes seconds
    }
    return settings(trio_settings | attributes)


@pytest.fixture(scope="module")
def champion(tmp_path_factory, trio_dataset, config):
    return pipeline.train(trio_dataset, tmp_path_factory.mktemp("champion") / "run", config=config)


@pytest.fixture(scope="module")
def grown(tmp_path_factory, trio_dataset):
    """The trio with two new items, of which one is of a new kind and goes first, and users who have touched them."""
    folder = tmp_path_factory.mktemp("grown") / "dataset"
    shutil.copytree(trio_dataset, folder)
    with (folder / "interactions.csv").open("a", encoding="utf-8") as file:
        for user in range(12):
            for step, item in enumerate(("new/1", "item/3", "new/2", "item/4")):
                file.write(f"late {user},{item},{2_000_000 + step}\n")
    head, *lines = (folder / "items.csv").read_text("utf-8").splitlines()
    text = "\n".join([head, "new/2,Newest,strange|odd", *lines, "new/1,New,even", ""])
    (folder / "items.csv").write_text(text, "utf-8")
    return folder


def vocabulary(run):
    log = run.load_log()
    data = prepare_sequences(log, make_split(log, run.config.split))
    return {item: row for row, item in enumerate(log.item_ids.ids_of(data.vocabulary))}


def begun(dataset, out, config, champion, *, cold=False, only=(), resume=False):
    starts = choose_starts(read_dataset(dataset, config.data), config, champion, cold=cold)
    run = pipeline.train(
        dataset,
        out,
        config=starts.config,
        only=only,
        resume=resume,
        prepared=partial(apply_starts, champion=champion, starts=starts),
    )
    return starts, run


@pytest.fixture(scope="module")
def retrained(tmp_path_factory, grown, config, champion):
    return begun(grown, tmp_path_factory.mktemp("retrained") / "run", config, champion)


def test_each_space_begins_where_it_can(retrained, config):
    starts, run = retrained
    assert {name: start.kind for name, start in starts.spaces.items()} == {
        "behaviour": "warm",
        "graph": "cold",
        "image": "kept",
    }
    loop = starts.config.sequence.loop
    assert (loop.epochs, loop.keep) == (2, "last")
    assert loop.learning_rate == pytest.approx(config.sequence.loop.learning_rate * config.retrain.start.warm_rate)
    assert starts.config.model_copy(update={"sequence": config.sequence}) == config
    assert json.loads((run.folder / "starts.json").read_text("utf-8"))["behaviour"] == {
        "kind": "warm",
        "reason": starts.spaces["behaviour"].reason,
        "in_a_row": 1,
    }
    assert set(pipeline.evaluate(run)) == {"behaviour", "graph", "image"}


def test_rows_go_by_id_and_the_rest_as_it_is(retrained, champion):
    _, run = retrained
    first, second = vocabulary(champion), vocabulary(run)
    assert set(second) - set(first) == {"new/1", "new/2"}
    assert [first[item] for item in first] != [second[item] for item in first]  # rows have moved
    old = load_file(champion.folder / "behaviour" / "model.safetensors")
    new = load_file(run.folder / "behaviour" / "start.safetensors")
    log = run.load_log()
    data = prepare_sequences(log, make_split(log, run.config.split))
    space = SPACES["behaviour"]
    attributes = space.load_model(run, data).attributes
    cold = build_model(len(second), run.config.sequence, attributes).state_dict()
    for item, row in second.items():
        wanted = old["items.weight"][first[item]] if item in first else cold["items.weight"][row]
        assert torch.equal(new["items.weight"][row], wanted), item
        assert new["bias"][row] == (old["bias"][first[item]] if item in first else 0)
    assert torch.equal(new["items.weight"][-1], old["items.weight"][-1])  # [MASK]
    # strange, odd, even, prime here; even, odd, prime there.
    values = "attributes.vectors.weight"
    assert torch.equal(new[values][[2, 1, 3]], old[values][[0, 1, 2]])
    assert torch.equal(new[values][0], cold[values][0])
    by_row = {"items.weight", "bias", values, "attributes.values", "attributes.offsets"}
    for name in set(new) - by_row:
        assert torch.equal(new[name], old[name]), name
    assert set(new) == set(old) and any(not torch.equal(new[name], cold[name]) for name in set(new) - by_row)


def test_what_is_kept_is_the_same_files(retrained, champion):
    _, run = retrained
    kept = run.folder / "image"
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (kept / name).samefile(champion.folder / "image" / name)
    assert not (kept / "checkpoints").exists()
    assert run.read_json("image.json") == champion.read_json("image.json")


def test_done_again_nothing_changes(retrained, champion):
    starts, run = retrained
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*") if path.is_file()}
    apply_starts(run, champion, starts)
    assert run.folder / "starts.json" in before
    after = {path: path.stat().st_mtime_ns for path in before}
    assert {path.name for path in before if before[path] != after[path]} <= {"starts.json"}


def test_a_warm_training_that_is_killed_ends_in_the_same_weights(
    retrained, grown, config, champion, tmp_path, monkeypatch
):
    _, whole = retrained
    loss, left = SequenceTask.loss, [0]

    def mortal(self, model, batch):
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return loss(self, model, batch)

    monkeypatch.setattr(SequenceTask, "loss", mortal)
    for die_at in (1, 4, 3):
        left[0] = die_at
        with pytest.raises(Killed):
            begun(grown, tmp_path / "run", config, champion, only=["behaviour"], resume=die_at != 1)
    starts, run = begun(grown, tmp_path / "run", config, champion, only=["behaviour"], resume=True)
    assert starts.spaces["behaviour"].kind == "warm" and run.load_log() is not None
    for name in ("start.safetensors", "model.safetensors"):
        killed, unharmed = (load_file(each.folder / "behaviour" / name) for each in (run, whole))
        assert all(torch.equal(killed[key], unharmed[key]) for key in unharmed), name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sequence__model__dim": 32}, "another model: sequence.model.dim was 16, now 32"),
        ({"retrain__start__max_new_items": 0.05}, "6% of the items are new, more than 5%"),
        ({"retrain__start__max_growth": 0.01}, "the interactions grew by 3%, more than 1%"),
        ({"retrain__start__max_in_a_row": 0}, "0 warm trainings in a row are enough"),
    ],
)
def test_a_cold_start_says_why(config, grown, champion, changes, said):
    base = {key.replace("__", "."): value for key, value in changes.items()}
    changed = load_config(overrides=[f"{key}={json.dumps(value)}" for key, value in base.items()], base=config)
    start = choose_starts(read_dataset(grown), changed, champion, cold=False).spaces["behaviour"]
    assert (start.kind, start.reason.partition(" (retrain")[0]) == ("cold", said)


def test_cold_when_asked_and_when_there_is_nobody(config, grown, champion, tmp_path):
    dataset = read_dataset(grown)
    for starts, said in (
        (choose_starts(dataset, config, champion, cold=True), "asked for"),
        (choose_starts(dataset, config, None, cold=False), "there is no run of a champion to begin from"),
    ):
        assert {(start.kind, start.reason) for start in starts.spaces.values()} == {("cold", said)}
        assert starts.config == config
    untrained = champion.branch(tmp_path / "run", config)
    starts = choose_starts(dataset, config, untrained, cold=False)
    assert {start.reason for start in starts.spaces.values()} == {"the champion has no such space"}


def test_users_who_are_gone_and_warm_trainings_in_a_row_end_in_a_cold_one(config, champion, grown, retrained, tmp_path):
    shutil.copytree(grown, tmp_path / "fewer")
    path = tmp_path / "fewer" / "interactions.csv"
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("user 1")]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    start = choose_starts(read_dataset(tmp_path / "fewer"), config, champion, cold=False).spaces["behaviour"]
    assert (start.kind, start.reason.partition(",")[0]) == (
        "cold",
        "41% of the champion's users are no longer in the data",
    )
    _, again = retrained
    assert read_starts(again).in_a_row("behaviour") == 1 and read_starts(champion).in_a_row("behaviour") == 0
    once = load_config(overrides=["retrain.start.max_in_a_row=1"], base=config)
    kinds = [
        choose_starts(read_dataset(grown), once, run, cold=False).spaces["behaviour"].kind for run in (champion, again)
    ]
    assert kinds == ["warm", "cold"]
    # Once the cold one has lost, the next does not lose in the same way.
    start = choose_starts(read_dataset(grown), once, again, cold=False, lost={"behaviour"}).spaces["behaviour"]
    assert (start.kind, start.in_a_row) == ("warm", 1)


def test_a_graph_without_a_change_is_kept(config, champion, trio_dataset, tmp_path):
    starts, run = begun(trio_dataset, tmp_path / "run", config, champion, only=["graph"])
    assert starts.spaces["graph"].kind == "kept"
    assert (run.folder / "graph" / "model.safetensors").samefile(champion.folder / "graph" / "model.safetensors")
    other = load_config(overrides=["graph.walks.length=21"], base=config)
    start = choose_starts(read_dataset(trio_dataset), other, champion, cold=False).spaces["graph"]
    assert (start.kind, start.reason) == ("cold", "other settings: graph.walks.length was 20, now 21")


def with_pictures(dataset, folder, changed):
    """A copy of a data set in which some pictures have the bytes of others."""
    shutil.copytree(dataset, folder)
    table = pq.read_table(folder / "images.parquet").to_pydict()
    for row in range(changed):
        table["image"][row] = table["image"][row + 10]
    pq.write_table(pa.table(table), folder / "images.parquet")
    return read_dataset(folder)


def test_an_encoder_is_kept_until_enough_pictures_are_new_and_these_add_up(config, champion, trio_dataset, tmp_path):
    one, two = (with_pictures(trio_dataset, tmp_path / f"data-{changed}", changed) for changed in (1, 2))
    first, run = begun(one.path, tmp_path / "run", config, champion, only=["image"])
    assert first.spaces["image"].kind == "kept" and "all but 1, and 1 " in first.spaces["image"].reason
    # What came last night is not learnt: against the night before only one picture is new, against the encoder two are.
    second = choose_starts(two, config, run, cold=False)
    assert second.spaces["image"].kind == "warm"
    assert second.spaces["image"].reason.startswith("7% of the pictures have changed, more than 5%")
    warm = load_config(overrides=["image.loop.epochs=9", "retrain.start.max_new_pictures=0.01"], base=config)
    short = choose_starts(two, warm, replace(run, config=warm), cold=False).config.image.loop
    assert short.epochs == warm.retrain.start.warm_image_epochs < 9


def test_a_warm_encoder_begins_with_all_the_champions_weights(config, champion, trio_dataset, tmp_path):
    dataset = with_pictures(trio_dataset, tmp_path / "data", 4)
    starts, run = begun(dataset.path, tmp_path / "run", config, champion, only=["image"])
    assert starts.spaces["image"].kind == "warm"
    old = load_file(champion.folder / "image" / "model.safetensors")
    start, trained = (load_file(run.folder / "image" / f"{name}.safetensors") for name in ("start", "model"))
    assert all(torch.equal(start[name], old[name]) for name in old)
    assert any(not torch.equal(trained[name], old[name]) for name in old)
    # Passes and rates of a warm run are not the settings asked for, and make no difference to the next one.
    again = choose_starts(dataset, config, Run.open(run.folder), cold=False).spaces["image"]
    assert again.kind == "kept"


def test_other_settings_or_labels_train_an_encoder_anew(config, champion, trio_dataset, tmp_path):
    other = load_config(overrides=["image.model.width=8"], base=config)
    start = choose_starts(read_dataset(trio_dataset), other, champion, cold=False).spaces["image"]
    assert (start.kind, start.reason) == ("cold", "other settings: image.model.width was 4, now 8")
    (champion.folder / "data" / "image" / "sums.npy").rename(tmp_path / "sums.npy")  # as of an earlier version
    try:
        start = choose_starts(read_dataset(trio_dataset), config, champion, cold=False).spaces["image"]
    finally:
        (tmp_path / "sums.npy").rename(champion.folder / "data" / "image" / "sums.npy")
    assert (start.kind, start.reason) == (
        "cold",
        "the champion's run does not say which pictures it has learnt from",
    )
