"""Pictures from a folder and from Parquet, and every way in which they can be bad."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from recsvc.data import ImageTable, describe, read_dataset, read_images, verify_pictures
from recsvc.data.problems import Problems
from recsvc.errors import DatasetError
from recsvc.pictures import MAX_BYTES, decode_picture


def encoded(value: int, form: str = "JPEG", size: tuple[int, int] = (12, 8), **options: object) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(value).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, form, **options)
    return out.getvalue()


def read(path: Path, known: set[str] | None = None, *, decode: bool = False) -> tuple[ImageTable | None, list[str]]:
    problems = Problems()
    images = read_images(path, problems, known)
    if images is not None and decode:
        verify_pictures(images, problems)
    return images, [line.removeprefix(f"{path.parent}/") for line in problems.lines()]


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    path = path / "images"
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def parquet_of(path: Path, pictures: dict[str, bytes | None], **options: object) -> Path:
    table = pa.table({"item_id": list(pictures), "image": pa.array(list(pictures.values()), pa.binary())})
    pq.write_table(table, path / "images.parquet", **options)
    return path / "images.parquet"


def bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    contents = {f"{name}": encoded(n) for n, name in enumerate(("b.JPG", "Tom Hanks.jpeg", "a.b.jpg", "é.jpg"))}
    contents["10.png"] = encoded(9, "PNG")
    path = folder_of(tmp_path, {**contents, ".DS_Store": b"x", "._a.jpg": b"x"})
    images, problems = read(path)
    assert problems == []
    assert images is not None
    assert list(images.ids) == ["10", "Tom Hanks", "a.b", "b", "é"]
    assert [images.read(row) for row in range(5)] == [contents[name] for name in sorted(contents)]
    assert images.place(1) == f"{path}/Tom Hanks.jpeg"
    assert [file.name for file in images.files] == sorted(contents)
    assert (images.labels, images.splits) == (None, None)
    assert images.formats == {"JPEG": 4, "PNG": 1}
    assert images.sizes.tolist() == [[12, 8]] * 5
    for row in (-1, 5):
        with pytest.raises(IndexError):
            images.read(row)


@pytest.mark.parametrize("row_group_size", [1, 7, 50])
@pytest.mark.parametrize("batch_bytes", [1, 3000, 2**26])
def test_parquet_gives_any_row_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row_group_size: int, batch_bytes: int
) -> None:
    monkeypatch.setattr("recsvc.data.picture_files.BATCH_BYTES", batch_bytes)
    contents = {f"i{n}": encoded(n, size=(10 + n, 9)) for n in range(50)}
    path = parquet_of(tmp_path, contents, row_group_size=row_group_size)
    images, problems = read(path)
    assert problems == []
    assert images is not None
    assert images.sizes[:, 0].tolist() == list(range(10, 60))
    expected = list(contents.values())
    order = [*range(50), 0, 49, 7, 8, 6, 6, 30, *np.random.default_rng(0).permutation(50).tolist()]
    assert [images.read(row) for row in order] == [expected[row] for row in order]
    assert images.place(4) == f"{path}:row 5"
    assert images.files == [path]


def test_labels_and_splits(tmp_path: Path) -> None:
    frame = pl.DataFrame({"split": ["train", "", "test"], "item_id": [1, 2, 3], "image": [encoded(0)] * 3})
    path = tmp_path / "images.parquet"
    frame.with_columns(label=pl.Series([7, None, 7])).write_parquet(path)
    images, _ = read(path)
    assert images is not None
    assert list(images.ids) == ["1", "2", "3"]
    assert images.labels == ("7", None, "7")
    assert images.splits == ("train", None, "test")
    frame.with_columns(label=pl.lit(None), split=pl.lit("")).write_parquet(path)
    images, _ = read(path)
    assert images is not None
    assert (images.labels, images.splits) == (None, None)


@pytest.mark.parametrize("dtype", [pa.binary(), pa.large_binary(), pa.binary(len(encoded(0)))])
def test_any_kind_of_bytes_will_do(tmp_path: Path, dtype: pa.DataType) -> None:
    path = tmp_path / "images.parquet"
    pq.write_table(pa.table({"item_id": ["1"], "image": pa.array([encoded(0)], dtype)}), path)
    images, problems = read(path)
    assert problems == []
    assert images is not None
    assert images.read(0) == encoded(0)


movie = {"save_all": True, "append_images": [Image.new("RGB", (12, 8), "red")]}
CONTENTS: dict[str, tuple[bytes, str]] = {
    "text": (b"not found\n" * 9, "is not a picture (the bytes are text)."),
    "empty": (b"", "is empty."),
    "header cut": (encoded(0)[:25], "is damaged: "),
    "bomb": (bomb(), "has 50,000 x 50,000 pixels; at most 64 million are read, so make it smaller."),
    "large": (encoded(0) + bytes(MAX_BYTES), "has more than 32 MiB, the most that is read; make it smaller."),
    "GIF": (encoded(0, "GIF", **movie), "has several frames; save one of them."),
    "WebP": (encoded(0, "WEBP", **movie), "has several frames; save one of them."),
    "PNG": (encoded(0, "PNG", **movie), "has several frames; save one of them."),
    "TIFF": (encoded(0, "TIFF", **movie), "has several pages; save one of them."),
}


def test_pictures_that_cannot_be_read_are_named_by_file_and_by_row(tmp_path: Path) -> None:
    good = {"0": encoded(0), "99": encoded(1)}
    bad = {str(n): content for n, (content, _) in enumerate(CONTENTS.values(), start=1)}
    images, problems = read(folder_of(tmp_path, {f"{name}.jpg": content for name, content in (good | bad).items()}))
    assert images is None
    assert len(problems) == len(CONTENTS)
    for n, (_, message) in enumerate(CONTENTS.values(), start=1):
        assert problems[n - 1].startswith(f"images/{n}.jpg: the image {message}")
    images, problems = read(parquet_of(tmp_path, {**bad, **good}))
    assert images is None
    assert len(problems) == len(CONTENTS)
    for n, (_, message) in enumerate(CONTENTS.values(), start=1):
        assert problems[n - 1].startswith(f"images.parquet:row {n}: the image {message}")


def test_a_body_that_is_cut_shows_when_it_is_decoded(tmp_path: Path) -> None:
    cut = encoded(0, size=(60, 60))[:-200]
    for path in (
        folder_of(tmp_path, {"a.jpg": encoded(1), "b.jpg": cut}),
        parquet_of(tmp_path, {"a": encoded(1), "b": cut}),
    ):
        images, problems = read(path)
        assert problems == []
        assert images is not None and len(images) == 2
        _, problems = read(path, decode=True)
        place = "images/b.jpg" if path.is_dir() else "images.parquet:row 2"
        assert len(problems) == 1
        assert problems[0].startswith(f"{place}: the image is damaged: image file is truncated")


def test_only_twenty_bad_pictures_are_named(tmp_path: Path) -> None:
    bad = {f"{n:02}": b"text" for n in range(30)}
    for path in (folder_of(tmp_path, {f"{n}.png": c for n, c in bad.items()}), parquet_of(tmp_path, bad)):
        _, problems = read(path)
        assert len(problems) == 21
        assert problems[19].startswith("images/19.png" if path.is_dir() else "images.parquet:row 20")
        assert problems[20] == "... and 10 more problems like these."


def test_items_that_nobody_knows(tmp_path: Path) -> None:
    known = {"Heat", "Big", *(f"film {n}" for n in range(5000))}
    pictures = {"Heat": encoded(0), "heat ": encoded(1), "film 49999": encoded(2), "\x81": encoded(3)}
    _, problems = read(parquet_of(tmp_path, pictures), known)
    assert problems[0] == "images.parquet:row 2: there is no item 'heat '; the nearest is 'Heat'."
    assert problems[1].startswith("images.parquet:row 3: there is no item 'film 49999'; the nearest is 'film 4999'.")
    assert problems[2:] == ["images.parquet:row 4: there is no item '\\x81'."]
    _, problems = read(folder_of(tmp_path, {"Heat.png": encoded(0), "Bog.png": encoded(0)}), {"Heat", "Big"})
    assert problems == ["images/Bog.png: there is no item 'Bog'; the nearest is 'Big'."]


def test_one_item_has_one_picture(tmp_path: Path) -> None:
    files = {"a.jpg": encoded(0), "a.png": encoded(0), "b.jpg": encoded(0)}
    assert read(folder_of(tmp_path, files)) == (
        None,
        ["images/a.png: a.jpg is there too; keep one picture of an item."],
    )
    frame = pl.DataFrame({"item_id": ["a", "b", "", "a", ""], "image": [encoded(0)] * 5})
    frame.write_parquet(tmp_path / "images.parquet")
    assert read(tmp_path / "images.parquet")[1] == [
        "images.parquet:row 3: item_id is empty.",
        "images.parquet:row 4: item_id 'a' is there already, at row 1; give an item one picture.",
        "images.parquet:row 5: item_id is empty.",
    ]


def test_what_else_lies_in_the_folder_is_a_problem(tmp_path: Path) -> None:
    path = folder_of(tmp_path, {"a.jpg": encoded(0), "b.heic": b"x", "c": b"x", "notes.txt": b"x"})
    (path / "more").mkdir()
    (path / "gone.jpg").symlink_to(path / "nowhere")
    (path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(encoded(0))
    ends = ".jpg, .jpeg, .png, .webp, .gif, .bmp, .tif, .tiff"
    _, problems = read(path)
    assert problems == [
        f"images/b.heic: this is no picture by its name ({ends}); save it as one or remove it.",
        f"images/c: this is no picture by its name ({ends}); save it as one or remove it.",
        "images: the name 'caf\\udce9.jpg' is not valid Unicode; rename the file.",
        "images/more: this is a folder; put every picture straight into the folder of pictures.",
        f"images/notes.txt: this is no picture by its name ({ends}); save it as one or remove it.",
        "images/gone.jpg: the image cannot be read (No such file or directory).",
    ]
    for message in problems:
        message.encode()  # can be printed


def test_an_empty_folder(tmp_path: Path) -> None:
    assert read(folder_of(tmp_path, {".hidden": b""})) == (None, ["images: there is no picture in this folder."])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"item_id": ["a"], "image": ["a.jpg"]},
            "the column 'image' holds large_string; write the bytes of picture files (binary).",
        ),
        (
            {"item_id": ["a"], "image": [{"bytes": b"x", "path": "a.jpg"}]},
            "the column 'image' holds struct<bytes: large_binary, path: large_string>; write the bytes",
        ),
        ({"item_id": ["a"], "picture": [b"x"]}, "there is no column 'image'; the columns are 'item_id', 'picture'."),
        ({"item": ["a"], "image": [b"x"]}, "there is no column 'item_id'; the nearest is 'item'."),
        ({"item_id": [], "image": []}, "there is a header but not one row below it."),
    ],
)
def test_columns_that_are_of_no_use(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    pl.DataFrame(columns).write_parquet(tmp_path / "images.parquet")
    images, problems = read(tmp_path / "images.parquet")
    assert images is None
    assert len(problems) == 1
    assert problems[0].startswith(f"images.parquet: {message}")


def test_a_null_is_an_empty_picture(tmp_path: Path) -> None:
    path = parquet_of(tmp_path, {"a": encoded(0), "b": None})
    assert read(path)[1] == ["images.parquet:row 2: the image is empty."]


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "pages"])
def test_damaged_parquet_is_one_problem(tmp_path: Path, damage: str) -> None:
    path = parquet_of(tmp_path, {str(n): encoded(n) for n in range(300)}, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes({"empty": b"", "cut": data[:middle], "text": b"item_id\n1\n", "pages": data}[damage])
    images, problems = read(path)
    assert images is None
    assert len(problems) == 1
    assert problems[0].startswith(
        "images.parquet:row 1: the image cannot be read" if damage == "pages" else "images.parquet: "
    )


def test_a_file_that_is_gone_later_is_a_clear_error(tmp_path: Path) -> None:
    path = folder_of(tmp_path, {"a.jpg": encoded(0)})
    images, _ = read(path)
    assert images is not None
    (path / "a.jpg").unlink()
    with pytest.raises(DatasetError) as caught:
        images.read(0)
    assert str(caught.value) == f"{path}/a.jpg: the image cannot be read (No such file or directory)."


class TestInADataSet:
    """Pictures together with the tables that say which items there are."""

    def test_pictures_alone_are_a_data_set(self, tmp_path: Path) -> None:
        folder_of(tmp_path, {"a.jpg": encoded(0), "b.png": encoded(1, "PNG", (40, 30))})
        dataset = read_dataset(tmp_path)
        assert dataset.images is not None
        assert list(dataset.images.ids) == ["a", "b"]
        assert (dataset.log, dataset.graph, len(dataset.items)) == (None, None, 0)
        assert describe(dataset) == {
            "tables": "images",
            "pictures": 2,
            "formats of pictures": "JPEG 1, PNG 1",
            "shorter side of pictures in pixels (min, 25%, median, 75%, max)": "8, 8, 8, 8, 30",
            "labels of pictures": "none",
            "splits of pictures": "none",
            "fingerprint": dataset.fingerprint,
        }

    def test_items_may_be_listed_or_touched(self, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
        write_csv(tmp_path / "items.csv", ["item_id"], [("a",), ("b",)])
        write_csv(tmp_path / "interactions.csv", ["user_id", "item_id"], [("u", "c"), ("u", "a"), ("u", "d")])
        parquet_of(tmp_path, {"a": encoded(0), "c": encoded(1)})
        assert describe(read_dataset(tmp_path))["items without a picture"] == 2
        parquet_of(tmp_path, {"a": encoded(0), "x": encoded(1)})
        with pytest.raises(DatasetError, match=r"images.parquet:row 2: there is no item 'x'\.$"):
            read_dataset(tmp_path)

    def test_an_item_that_the_config_leaves_out_may_have_a_picture(
        self, tmp_path: Path, write_csv: Callable[..., Path]
    ) -> None:
        from recsvc.data import HistoryConfig

        rows = [("u", "a"), ("u", "a"), ("u", "b")]
        write_csv(tmp_path / "interactions.csv", ["user_id", "item_id"], rows)
        parquet_of(tmp_path, {"a": encoded(0), "b": encoded(1)})
        dataset = read_dataset(tmp_path, HistoryConfig(min_item_interactions=2))
        assert dataset.log is not None and list(dataset.log.item_ids) == ["a"]
        assert dataset.images is not None and len(dataset.images) == 2

    def test_unknown_items_are_not_looked_for_where_a_table_has_problems(self, tmp_path: Path) -> None:
        (tmp_path / "items.csv").write_text("item_id,title\na,A\nb\n")
        parquet_of(tmp_path, {"a": encoded(0), "b": b""})
        with pytest.raises(DatasetError) as caught:
            read_dataset(tmp_path)
        lines = [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).split("\n")]
        assert lines == [
            "items.csv:3: 1 value where the header names 2.",
            "images.parquet:row 2: the image is empty.",
        ]

    def test_every_picture_is_in_the_fingerprint(self, tmp_path: Path) -> None:
        path = folder_of(tmp_path, {"a.jpg": encoded(0), "b.jpg": encoded(1)})
        first = read_dataset(tmp_path).fingerprint
        (path / ".hidden").write_bytes(b"x")
        assert read_dataset(tmp_path).fingerprint == first
        (path / "b.jpg").write_bytes(encoded(2))
        second = read_dataset(tmp_path).fingerprint
        (path / "b.jpg").rename(path / "c.jpg")
        assert len({first, second, read_dataset(tmp_path).fingerprint}) == 3

    def test_decoding_is_for_those_who_ask(self, tmp_path: Path) -> None:
        folder_of(tmp_path, {"a.jpg": encoded(0, size=(60, 60))[:-200]})
        assert read_dataset(tmp_path).images is not None
        told: list[str] = []
        with pytest.raises(DatasetError, match=r"images/a.jpg: the image is damaged: image file is truncated"):
            read_dataset(tmp_path, progress=told.append, decode=True)
        assert told == ["looking at the pictures of images", "decoding pictures: 0 of 1"]


def test_a_picture_comes_out_as_it_went_in(tmp_path: Path) -> None:
    images, _ = read(parquet_of(tmp_path, {"a": encoded(5, "PNG")}))
    assert images is not None
    expected = np.random.default_rng(5).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    assert np.array_equal(decode_picture(images.read(0)), expected)
