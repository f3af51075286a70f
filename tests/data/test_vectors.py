"""Tables of the user's own vectors: every form that is read, and every flaw with its row."""

import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsvc.data import describe, read_dataset
from recsvc.data.vectors import RESERVED
from recsvc.errors import DatasetError
from recsvc.releases.manifest import ManifestDraft, SpaceEntry

IDS = ["a", "Zoë 🎬", "item/3", "-k"]
VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
LISTS = {
    "float lists": pa.list_(pa.float32()),
    "double lists": pa.list_(pa.float64()),
    "large lists": pa.large_list(pa.float32()),
    "fixed-size lists": pa.list_(pa.float32(), 3),
    "half lists": pa.list_(pa.float16()),
}


def write(folder, vectors, ids=IDS, *, name="clip", column="item_id", kind=LISTS["float lists"], **more):
    (folder / "vectors").mkdir(parents=True, exist_ok=True)
    table = pa.table({column: ids, "vector": pa.array(vectors, kind), **more})
    pq.write_table(table, folder / "vectors" / f"{name}.parquet", row_group_size=2)
    return folder


def problems_of(folder):
    """The lines of the refusal, without the folder."""
    with pytest.raises(DatasetError) as error:
        read_dataset(folder)
    return [line.removeprefix(f"{folder}/") for line in str(error.value).split("\n")]


@pytest.mark.parametrize("column", ["item_id", "id"])
@pytest.mark.parametrize("form", LISTS)
def test_each_form_is_read(tmp_path, form, column):
    vectors = VECTORS.astype(np.float16) if form == "half lists" else VECTORS
    write(tmp_path, list(vectors), kind=LISTS[form], column=column, type=["item"] * 4)
    table = read_dataset(tmp_path).vectors["clip"]
    assert list(table.ids) == IDS and table.vectors.dtype == np.float32
    np.testing.assert_array_equal(table.vectors, vectors.astype(np.float32))


def test_whole_numbers_are_numbers(tmp_path):
    write(tmp_path, [[1, -2, 3]] * 4, kind=pa.list_(pa.int8()))
    np.testing.assert_array_equal(read_dataset(tmp_path).vectors["clip"].vectors, [[1, -2, 3]] * 4)


def test_several_spaces_come_in_the_order_of_their_names(tmp_path):
    for name in ("text-small", "clip_b32", "7"):
        write(tmp_path, list(VECTORS), name=name)
    (tmp_path / "vectors" / ".hidden").write_text("")
    dataset = read_dataset(tmp_path)
    assert list(dataset.vectors) == ["7", "clip_b32", "text-small"]
    facts = describe(dataset)
    assert facts["space clip_b32"] == "4 vectors of 3 numbers" and facts["tables"] == "vectors"


def test_the_facts_count_items_without_a_vector(tmp_path):
    (tmp_path / "items.csv").write_text("item_id\na\nb\nc\n", "utf-8")
    write(tmp_path, list(VECTORS[:1]), ids=["a"])
    assert describe(read_dataset(tmp_path))["space clip"] == "1 vectors of 3 numbers; 2 items without one"


def test_the_fingerprint_covers_the_vectors(tmp_path):
    first = read_dataset(write(tmp_path, list(VECTORS))).fingerprint
    assert read_dataset(write(tmp_path, list(VECTORS[::-1]))).fingerprint != first
    assert read_dataset(write(tmp_path, list(VECTORS))).fingerprint == first


def test_every_bad_row_is_named(tmp_path):
    rows = [
        [1, 2, 3],
        [1, 2],
        None,
        [1, float("nan"), 3],
        [0, 0, 0],
        [1, None, 3],
        [1e300, 0, 0],
        [],
        [4, 5, 6],
        [7, 8, 9],
    ]
    ids = ["a", "b", "c", "d", "e", "f", "g", "h", "a", ""]
    write(tmp_path, rows, ids, kind=pa.list_(pa.float64()))
    assert problems_of(tmp_path) == [
        "vectors/clip.parquet:row 2: the vector has 2 numbers, most have 3; mend it, or leave the row out.",
        "vectors/clip.parquet:row 3: the vector is empty; give it, or leave the row out.",
        *(
            f"vectors/clip.parquet:row {row}: the vector has a value that is empty, NaN or beyond float32; mend it, or "
            "leave the row out."
            for row in (4,)
        ),
        "vectors/clip.parquet:row 5: the vector is all zeros, which has no direction; mend it, or leave the row out.",
        *(
            f"vectors/clip.parquet:row {row}: the vector has a value that is empty, NaN or beyond float32; mend it, or "
            "leave the row out."
            for row in (6, 7)
        ),
        "vectors/clip.parquet:row 8: the vector is empty; give it, or leave the row out.",
        "vectors/clip.parquet:row 9: item_id 'a' is there already, at row 1; give an item one vector in a space.",
        "vectors/clip.parquet:row 10: item_id is empty.",
    ]


def test_missing_vectors_of_fixed_size_are_named(tmp_path):
    write(tmp_path, [[1, 2, 3], None, [4, 5, 6], [7, 8, 9]], kind=LISTS["fixed-size lists"])
    assert problems_of(tmp_path) == ["vectors/clip.parquet:row 2: the vector is empty; give it, or leave the row out."]


def test_items_that_nobody_knows_are_named(tmp_path):
    (tmp_path / "items.csv").write_text("item_id\na\nitem/3\n-k\nother\n", "utf-8")
    write(tmp_path, list(VECTORS), ids=["a", "othr", "item/3", "-k"])
    assert problems_of(tmp_path) == ["vectors/clip.parquet:row 2: there is no item 'othr'; the nearest is 'other'."]


def test_of_many_bad_rows_twenty_are_spelt_out(tmp_path):
    write(tmp_path, [[1.0, 2.0]] * 60 + [[0.0, 0.0]] * 30, ids=[str(n) for n in range(90)])
    lines = problems_of(tmp_path)
    assert len(lines) == 21 and lines[0].startswith("vectors/clip.parquet:row 61: ") and "10 more" in lines[-1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *((name, f"the space {name} is one that recsvc trains; give the file another name.") for name in RESERVED),
        *(
            (name, "a space is named by at most 40 of a-z, 0-9, _ and -")
            for name in ("Clip", "a b", "-a", "_a", "x" * 41)
        ),
    ],
)
def test_names_that_cannot_be_a_space(tmp_path, name, message):
    (line,) = problems_of(write(tmp_path, list(VECTORS), name=name))
    assert line.startswith(f"vectors/{name}.parquet: {message}")


@pytest.mark.parametrize("name", ["a", "7", "clip-vit_b32", "x" * 40])
def test_names_that_can_be_a_space_can_be_in_a_release(tmp_path, name):
    assert list(read_dataset(write(tmp_path, list(VECTORS), name=name)).vectors) == [name]
    entry = SpaceEntry(dim=3, count=4, table=f"{name}/items.safetensors", index=f"{name}/similar.faiss")
    assert list(ManifestDraft(spaces={name: entry}).spaces) == [name]


def parquet(table):
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "vectors: there is no table of vectors in this folder."),
        ({"clip.npy": b"x"}, r"vectors/clip\.npy: this is no table of vectors by its name \(SPACE\.parquet\)"),
        ({"clip.parquet": b"PAR1"}, r"vectors/clip\.parquet: this is not an undamaged Parquet file"),
        ({"clip.parquet": b""}, r"vectors/clip\.parquet: the file is empty"),
        (
            {"clip.parquet": parquet(pa.table({"name": ["a"], "vector": [[1.0]]}))},
            r"vectors/clip\.parquet: there is no column 'item_id'",
        ),
        (
            {"clip.parquet": parquet(pa.table({"item_id": ["a"], "embedding": [[1.0]]}))},
            r"vectors/clip\.parquet: there is no column 'vector'; the columns are 'item_id', 'embedding'\.",
        ),
        (
            {"clip.parquet": parquet(pa.table({"item_id": ["a"], "vector": ["1,2"]}))},
            r"vectors/clip\.parquet: the column 'vector' holds string; write lists of numbers\.",
        ),
        (
            {"clip.parquet": parquet(pa.table({"item_id": ["a"], "vector": [["1", "2"]]}))},
            r"vectors/clip\.parquet: the column 'vector' holds list<.*string>; write lists of numbers\.",
        ),
        (
            {"clip.parquet": parquet(pa.table({"item_id": ["a"], "vector": pa.array([[]], pa.list_(pa.float32()))}))},
            r"vectors/clip\.parquet: most rows of the column 'vector' are empty",
        ),
        (
            {
                "clip.parquet": parquet(
                    pa.table({"item_id": pa.array([], pa.string()), "vector": pa.array([], LISTS["float lists"])})
                )
            },
            r"vectors/clip\.parquet: there is a header but not one row below it\.",
        ),
    ],
)
def test_files_that_are_no_table_of_vectors(tmp_path, files, message):
    (tmp_path / "vectors").mkdir()
    for name, content in files.items():
        (tmp_path / "vectors" / name).write_bytes(content)
    (line,) = problems_of(tmp_path)
    assert re.match(message, line), line


def test_a_file_called_vectors_is_not_read(tmp_path):
    (tmp_path / "items.csv").write_text("item_id\na\n", "utf-8")
    (tmp_path / "vectors.parquet").write_bytes(b"x")
    dataset = read_dataset(tmp_path)
    assert dataset.vectors == {} and dataset.notes[0].startswith("'vectors.parquet' is no table of a data set")
