"""SimCLR in the shared loop: batches, views, resume, overfit, and labels that are never looked at."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recsvc.data import IdIndex
from recsvc.pictures import PictureInput
from training.checkpoints import load_checkpoint
from training.image.cache import PictureCache
from training.image.config import ImageConfig
from training.image.encode import encode_pixels, unchanged
from training.image.methods import build_method
from training.image.task import ImageTask
from training.loop import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


def make_cache(count=40, side=16, splits=None, labels=None):
    """Pictures of coloured stripes and noise, each of its own."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (count, 4, 4, 3)).repeat(side // 4, axis=1).repeat(side // 4, axis=2)
    pixels = np.clip(base + rng.normal(0, 10, base.shape), 0, 255).astype(np.uint8)
    spec = PictureInput(side, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return PictureCache(spec, IdIndex.from_ids(map(str, range(count))), labels, splits, pixels)


def make_config(**loop):
    loop = {"epochs": 3, "warmup_steps": 2, "evaluate_every": 2, "checkpoint_seconds": 0, "seed": 4} | loop
    return ImageConfig.model_validate({"model": {"width": 4}, "batch_size": 12, "loop": loop})


def test_each_epoch_shows_every_training_picture_once_and_no_other():
    splits = tuple(["train", "validation", "test", None] * 10)
    task = ImageTask(make_cache(splits=splits), make_config())
    epochs = [list(task.batches(epoch, 0)) for epoch in range(2)]
    for batches in epochs:
        assert len(batches) == task.batch_count(0) == 2
        assert sorted(np.concatenate([batch.rows for batch in batches])) == [
            row for row in range(40) if row % 4 in (0, 3)
        ]
    assert not np.array_equal(epochs[0][0].rows, epochs[1][0].rows)


def test_batches_are_a_function_of_their_number():
    task, other = (ImageTask(make_cache(), make_config()) for _ in range(2))
    whole, rest = list(task.batches(1, 0)), list(other.batches(1, 2))
    for expected, found in zip(whole[2:], rest, strict=True):
        assert np.array_equal(expected.rows, found.rows) and expected.seed == found.seed
    assert len({batch.seed for epoch in range(5) for batch in task.batches(epoch, 0)}) == 15


def test_a_batch_gives_the_same_views_again_and_the_two_views_differ():
    task = ImageTask(make_cache(), make_config())
    (batch, *_) = task.batches(0, 0)
    seen = []

    def spy(views):
        seen.append(views)
        return views[0].sum()

    for _ in range(2):
        task.loss(spy, batch)
    assert all(torch.equal(view, again) for view, again in zip(*seen, strict=True))
    first, second = seen[0]
    assert first.shape == second.shape == (len(batch.rows), 3, 16, 16)
    assert not torch.isclose(first, second).flatten(1).all(dim=1).any()


def test_loss_is_summed_over_pictures():
    task = ImageTask(make_cache(), make_config())
    (batch, *_) = task.batches(0, 0)
    total, count = task.loss(lambda views: torch.tensor(0.25), batch)
    assert count == len(batch.rows) and total.item() == 0.25 * count


@pytest.mark.parametrize("die_at", [0, 1, 4, 7])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, fit, killed, die_at):
    config = make_config()
    fit(tmp_path / "whole", config, make_cache())
    with pytest.raises(killed):
        fit(tmp_path / "killed", config, make_cache(), die_at=die_at)
    fit(tmp_path / "killed", config, make_cache(), resume=True)
    (wanted, state), (found, resumed) = (
        load_checkpoint(tmp_path / name / "checkpoints") for name in ("whole", "killed")
    )
    state.pop("seconds")
    resumed.pop("seconds")
    assert state == resumed and wanted.keys() == found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    curves = [
        [{k: v for k, v in json.loads(line).items() if k != "time"} for line in file.read_text("utf-8").splitlines()]
        for file in (tmp_path / "whole" / "metrics.jsonl", tmp_path / "killed" / "metrics.jsonl")
    ]
    assert curves[0] == curves[1]


def test_the_last_epoch_is_kept_whatever_validation_says(tmp_path):
    scores = iter([0.9, 0.1, 0.2])
    config = make_config(evaluate_every=1, patience=1)
    task = ImageTask(make_cache(), config)
    task.validate = lambda: {"view_match": next(scores)}
    result = Trainer(task, config.loop, tmp_path, accelerator="cpu").run()
    assert (result.best, result.best_epoch, result.epochs) == (0.2, 3, 3)
    tensors, _ = load_checkpoint(tmp_path / "checkpoints")
    kept = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(kept[name], tensors[f"model.{name}"]) for name in kept)


def test_a_few_pictures_are_learnt(tmp_path, fit):
    config = make_config(epochs=200, evaluate_every=200, learning_rate=0.003, precision="32-true")
    gentle = config.views.model_copy(update={"crop_area": 0.5, "strength": 0.2})
    model = config.model.model_copy(update={"width": 8})
    config = config.model_copy(update={"views": gentle, "model": model})
    cache = make_cache(12)
    before = ImageTask(cache, config)
    before.model.eval()
    with torch.inference_mode():
        assert before.validate()["view_match"] < 0.8
    task, result = fit(tmp_path, config, cache)
    assert result.best > 0.9
    task.model.eval()
    with torch.inference_mode():
        assert task.validate()["spread"] > 0.2


def test_labels_change_nothing(tmp_path, fit):
    config = make_config(epochs=1)
    plain, _ = fit(tmp_path / "plain", config, make_cache())
    labelled, _ = fit(tmp_path / "labelled", config, make_cache(labels=tuple("ab" * 20)))
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(labelled.model.state_dict()[name], tensor)


def test_held_out_pictures_change_nothing(tmp_path, fit):
    splits = tuple(["train", "train", "test", "validation"] * 10)
    cache = make_cache(splits=splits)
    blank = np.where(np.isin(np.array(splits), ("test", "validation"))[:, None, None, None], 0, cache.pixels)
    config = make_config(epochs=1)
    seen, _ = fit(tmp_path / "seen", config, cache)
    unseen, _ = fit(
        tmp_path / "unseen",
        config,
        PictureCache(cache.spec, cache.ids, None, splits, blank.astype(np.uint8)),
    )
    for name, tensor in seen.model.state_dict().items():
        assert torch.equal(unseen.model.state_dict()[name], tensor)


def test_initial_weights_depend_on_the_seed_alone():
    first, again, other = (build_method(make_config(seed=seed), 16).state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_encoding_leaves_the_model_bit_equal_and_training_would_be_noticed():
    cache = make_cache()
    model = build_method(make_config(), 16).eval()
    vectors = encode_pixels(model, cache.pixels, cache.spec)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    model.train()
    with pytest.raises(AssertionError), unchanged(model):
        model(torch.randn(2, 4, 3, 16, 16))
    with pytest.raises(AssertionError):
        encode_pixels(model, cache.pixels, cache.spec)
