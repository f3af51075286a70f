"""The decoded pictures of a run: exactly what the service would see, whole or not at all."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from recsvc.data import Problems, read_images
from recsvc.errors import DatasetError
from recsvc.pictures import decode_picture, fit_square
from training.image import cache as cache_module
from training.image.cache import PictureCache, check_splits, choose_size
from training.progress import Reporter

QUIET = Reporter(quiet=True)


def encoded(width, height, seed=0, form="PNG"):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def torn(content):
    return content[: len(content) // 2]


def read(path):
    problems = Problems()
    images = read_images(path, problems)
    problems.raise_if_any()
    assert images is not None
    return images


def write_folder(folder, contents):
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return read(folder)


def write_parquet(path, contents, **columns):
    table = {"item_id": [f"item {row}" for row in range(len(contents))], "image": contents, **columns}
    pq.write_table(pa.table(table), path)
    return read(path)


@pytest.fixture
def table(tmp_path):
    contents = [encoded(60 + row, 90, row) for row in range(5)]
    return write_parquet(
        tmp_path / "images.parquet",
        contents,
        label=["a", "b", None, "a", ""],
        split=["train", "test", None, "validation", "train"],
    )


def test_pixels_are_those_of_the_one_preprocessor(tmp_path, table):
    PictureCache.write(tmp_path / "image", table, 20, QUIET)
    cache = PictureCache.load(tmp_path / "image")
    assert len(cache) == 5 and list(cache.ids) == list(table.ids) and cache.spec.size == 20
    assert cache.pixels.shape == (5, 20, 20, 3)
    for row in range(5):
        np.testing.assert_array_equal(cache.pixels[row], fit_square(decode_picture(table.read(row)), 20))
    assert cache.labels == ("a", "b", None, "a", None)
    assert [cache.rows_of(split).tolist() for split in ("train", "validation", "test")] == [[0, 2, 4], [3], [1]]


@pytest.mark.parametrize(("sides", "size"), [([32, 32, 200], 32), ([112, 112, 30], 64)])
def test_the_size_follows_the_pictures(tmp_path, sides, size):
    images = write_parquet(tmp_path / "images.parquet", [encoded(side, side + 9, side) for side in sides])
    assert choose_size(images) == size
    PictureCache.write(tmp_path / "image", images, None, QUIET)
    cache = PictureCache.load(tmp_path / "image")
    assert cache.spec.size == size and cache.pixels.shape == (3, size, size, 3)
    assert cache.labels is None and cache.splits is None
    assert len(cache.rows_of("train")) == 3 and not len(cache.rows_of("test"))


def test_a_damaged_picture_is_named_by_file_and_nothing_is_left(tmp_path):
    images = write_folder(tmp_path / "images", {"whole.png": encoded(40, 40), "torn.png": torn(encoded(40, 40))})
    with pytest.raises(DatasetError, match=r"images/torn\.png: the image is damaged: .*; save it again\.$") as error:
        PictureCache.write(tmp_path / "data" / "image", images, None, QUIET)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "data").iterdir())


def test_twenty_damaged_rows_are_named_and_the_rest_counted(tmp_path):
    contents = [encoded(40, 40), *[torn(encoded(40, 40, row)) for row in range(23)]]
    images = write_parquet(tmp_path / "images.parquet", contents)
    with pytest.raises(DatasetError) as error:
        PictureCache.write(tmp_path / "image", images, None, QUIET)
    lines = str(error.value).splitlines()
    assert len(lines) == 21 and "images.parquet:row 2: " in lines[0] and "images.parquet:row 21: " in lines[19]
    assert lines[20] == "... and 3 more problems like these."


def test_what_a_killed_preparation_left_is_replaced(tmp_path, table):
    (tmp_path / ".image.saving").mkdir()
    (tmp_path / ".image.saving" / "pixels.npy").write_bytes(b"half")
    PictureCache.write(tmp_path / "image", table, 16, QUIET)
    assert len(PictureCache.load(tmp_path / "image").pixels) == 5
    assert not (tmp_path / ".image.saving").exists()


def test_an_interrupted_preparation_leaves_nothing(tmp_path, table, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache_module, "decode_picture", stop)
    with pytest.raises(KeyboardInterrupt):
        PictureCache.write(tmp_path / "image", table, 16, QUIET)
    assert {entry.name for entry in tmp_path.iterdir()} == {"images.parquet"}


def test_splits_have_three_names(tmp_path):
    contents = [encoded(40, 40, row) for row in range(3)]
    images = write_parquet(tmp_path / "images.parquet", contents, split=["train", "val", "test"])
    with pytest.raises(DatasetError, match=r"row 2: the split 'val' is none of train, validation and test"):
        check_splits(images)
    images = write_parquet(tmp_path / "images.parquet", contents, split=["train", "validation", "test"])
    with pytest.raises(DatasetError, match="fewer than two pictures"):
        check_splits(images)
    check_splits(write_parquet(tmp_path / "images.parquet", contents, split=["train", None, "test"]))
