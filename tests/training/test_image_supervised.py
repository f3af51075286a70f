"""Fine-tuning and distillation: which labels teach, what is judged, and the whole way through the pipeline."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from recsvc.data import IdIndex
from recsvc.errors import ConfigError, DatasetError
from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.classifier import Classifier
from recsvc.models.image.config import EncoderConfig
from recsvc.pictures import PictureInput
from training import pipeline
from training.config import load_config
from training.image.cache import PictureCache
from training.image.space import ImageSpace
from training.image.supervised import DistilTask, FineTuneTask, accuracy, make_classes
from training.image.supervised_config import DistilConfig, FineTuneConfig
from training.loop import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = ("blue", "green", "red")
LOOP = {"epochs": 12, "learning_rate": 0.01}


def make_cache(count=90, labelled=lambda row: True):
    """Pictures whose colour is their class, every third for testing."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 120, (count, 16, 16, 3)).astype(np.uint8)
    for row in range(count):
        pixels[row, ..., row % 3] += 100
    labels = tuple(("red", "green", "blue")[row % 3] if labelled(row) else None for row in range(count))
    splits = tuple("test" if row // 3 % 3 == 2 else "train" for row in range(count))
    spec = PictureInput(16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return PictureCache(spec, IdIndex.from_ids(map(str, range(count))), labels, splits, pixels)


def make_classifier(width=4, seed=0):
    torch.manual_seed(seed)
    return Classifier(*build_backbone(EncoderConfig(width=width), 16), 3)


def test_a_share_is_the_same_of_each_class_and_smaller_shares_are_within_larger_ones():
    cache = make_cache()
    found = {share: make_classes(cache, share, 0) for share in (0.01, 0.1, 0.5, 1.0)}
    for share, each in ((0.01, 1), (0.1, 2), (0.5, 10), (1.0, 20)):
        assert np.bincount(found[share].numbers[found[share].taught]).tolist() == [each] * 3
    assert set(found[0.1].taught) < set(found[0.5].taught) < set(found[1.0].taught)
    assert found[1.0].names == list(CLASSES)
    assert not np.array_equal(found[0.5].taught, make_classes(cache, 0.5, 1).taught)
    assert set(found[1.0].splits["test"]).isdisjoint(found[1.0].taught) and len(found[1.0].splits["test"]) == 30


def test_labels_that_are_not_used_are_not_seen():
    cache = make_cache(labelled=lambda row: row % 2 == 0)
    classes = make_classes(cache, 0.5, 0)
    task = DistilTask(make_classifier(), make_classifier(8), cache, classes, DistilConfig(batch_size=60))
    (batch,) = task.batches(0, 0)
    labels = task.labels(batch).numpy()
    seen = batch.rows[labels >= 0]
    assert sorted(seen) == classes.taught.tolist() and len(batch.rows) == 60
    assert (labels[labels >= 0] == classes.numbers[seen]).all()
    tuned = FineTuneTask(make_classifier(), cache, classes, FineTuneConfig(batch_size=60))
    (batch,) = tuned.batches(0, 0)
    assert sorted(batch.rows) == classes.taught.tolist()


def test_a_teacher_learns_and_its_student_follows_without_a_label(tmp_path):
    cache = make_cache()
    classes = make_classes(cache, 0.5, 0)
    config = FineTuneConfig.model_validate({"batch_size": 8, "loop": LOOP})
    teacher = FineTuneTask(make_classifier(8), cache, classes, config)
    before = accuracy(teacher.model.eval(), cache, classes, classes.splits["test"])
    teacher.model.train()
    Trainer(teacher, config.loop, tmp_path / "teacher", accelerator="cpu").run()
    known = accuracy(teacher.model.eval(), cache, classes, classes.splits["test"])
    assert before < 0.5 and known > 0.9
    weights = {name: tensor.clone() for name, tensor in teacher.model.state_dict().items()}
    distil = DistilConfig.model_validate({"batch_size": 8, "loop": LOOP})
    student = DistilTask(make_classifier(), teacher.model, cache, classes, distil)
    Trainer(student, distil.loop, tmp_path / "student", accelerator="cpu").run()
    assert accuracy(student.model.eval(), cache, classes, classes.splits["test"]) > 0.85
    assert all(torch.equal(tensor, weights[name]) for name, tensor in teacher.model.state_dict().items())


def write_dataset(folder, *, splits=True, labels=True):
    import io

    from PIL import Image

    cache = make_cache(60)
    contents = []
    for picture in np.asarray(cache.pixels):
        content = io.BytesIO()
        Image.fromarray(picture).save(content, "PNG")
        contents.append(content.getvalue())
    table = {"item_id": list(cache.ids), "image": contents}
    table |= {"label": list(cache.labels)} if labels else {}
    table |= {"split": list(cache.splits)} if splits else {}
    folder.mkdir()
    pq.write_table(pa.table(table), folder / "images.parquet")
    return folder


def settings(*others):
    stage = "{batch_size: 8, loop: {epochs: 2}}"
    return load_config(
        overrides=[
            "image.size=16",
            "image.model.width=4",
            "image.batch_size=20",
            "image.loop.epochs=1",
            f"image.fine_tune={stage}",
            "runtime.threads=1",
            "runtime.keep_memory=False",
            *others,
        ]
    )


def test_the_last_stage_is_what_is_judged_and_exported(tmp_path):
    distil = "image.distil={model: {width: 8}, batch_size: 20, loop: {epochs: 1}}"
    run = pipeline.train(write_dataset(tmp_path / "data"), tmp_path / "run", config=settings(distil))
    facts = run.read_json("image.json")["stages"]
    assert set(facts) == {"fine-tuned", "student"} and facts["fine-tuned"]["steps"] == 10
    figures = pipeline.evaluate(run)["image"]["model"]
    assert {"accuracy_fine-tuned", "accuracy_student"} < set(figures)
    space = ImageSpace()
    served = space.load_model(run, PictureCache.load(run.data("image")))
    student = load_file(tmp_path / "run" / "image" / "student" / "model.safetensors")
    assert served.dim == 64 and torch.equal(served.backbone.stem[0].weight, student["backbone.stem.0.weight"])
    folder = tmp_path / "image"
    folder.mkdir()
    assert space.export(run, folder).dim == 64


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"splits": False}, "without a column split nothing is left to judge it by"),
        ({"labels": False}, "needs two different labels in the split train, and there are 0"),
    ],
)
def test_pictures_from_which_nothing_can_be_learnt_are_refused(tmp_path, files, message):
    with pytest.raises(DatasetError, match=message):
        pipeline.train(write_dataset(tmp_path / "data", **files), tmp_path / "run", config=settings())
    assert not (tmp_path / "run").exists()


def test_a_student_without_a_teacher_is_refused():
    with pytest.raises(ConfigError, match=r"a student needs a teacher, which knows labels; give image\.fine_tune too"):
        load_config(overrides=["image.distil={}"])


def test_a_layer_that_the_projector_lacks_is_refused_before_anything_is_trained(tmp_path):
    config = settings("image.fine_tune.layer=3")
    with pytest.raises(ConfigError, match=r"image\.fine_tune\.layer: the projector has 1 hidden layers; keep 0 to 1"):
        pipeline.train(write_dataset(tmp_path / "data"), tmp_path / "run", config=config)
    assert not (tmp_path / "run").exists()
