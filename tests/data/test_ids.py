from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsvc.data import IdIndex
from recsvc.errors import DatasetError
from recsvc.limits import MAX_ID_BYTES

IDS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40),
    unique=True,
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=IDS, memory_map=st.booleans())
def test_every_id_is_found_both_ways_also_after_saving(tmp_path: Path, ids: list[str], memory_map: bool) -> None:
    index = IdIndex.from_ids(ids)
    index.save(tmp_path, "x")
    for each in (index, IdIndex.load(tmp_path, "x", memory_map=memory_map)):
        assert each == index
        assert len(each) == len(ids)
        assert list(each) == ids
        assert each.ids_of(range(len(ids))) == ids
        assert each.rows_of(ids).tolist() == list(range(len(ids)))
        assert [each.row_of(value) for value in ids] == list(range(len(ids)))


def test_what_is_not_there() -> None:
    index = IdIndex.from_ids(["7", "Tom Hanks"])
    assert index.row_of("8") is None
    assert "Tom Hanks" in index
    assert "Tom Hanks " not in index
    assert index.rows_of(["8", "Tom Hanks"]).tolist() == [-1, 1]
    assert index != IdIndex.from_ids(["7Tom", " Hanks"])
    for row in (-1, 2):
        with pytest.raises(IndexError):
            index.id_of(row)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", ""], "'' at row 1 is empty"),
        (["é" * 256 + "x"], "has 513 bytes; at most 512 are allowed"),
        (["a", "b", "a"], "is there twice: at rows 0 and 2"),
        (["\ud800"], "is not valid Unicode"),
        (["a\0"], "contains a NUL byte"),
    ],
)
def test_what_is_no_id_is_refused(ids: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        IdIndex.from_ids(ids)


def test_the_longest_id_and_blanks_are_kept_verbatim() -> None:
    ids = ["é" * (MAX_ID_BYTES // 2), " ", " a "]
    assert list(IdIndex.from_ids(ids)) == ids


def test_large_indexes_stay_on_disk(tmp_path: Path) -> None:
    IdIndex.from_ids(["a", "b"]).save(tmp_path, "x")
    assert isinstance(IdIndex.load(tmp_path, "x", memory_map=True)._utf8, np.memmap)
    assert not isinstance(IdIndex.load(tmp_path, "x")._utf8, np.memmap)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    IdIndex.from_ids(["a", "b"]).save(tmp_path, "x")
    np.save(tmp_path / "x.offsets.npy", np.array([0, 1, 9]))
    with pytest.raises(DatasetError, match=r"x\.offsets\.npy does not fit"):
        IdIndex.load(tmp_path, "x")
    np.save(tmp_path / "x.offsets.npy", np.array(["a"], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"x\.offsets\.npy cannot be read"):
        IdIndex.load(tmp_path, "x")
    (tmp_path / "x.utf8.npy").unlink()
    with pytest.raises(DatasetError, match=r"x\.utf8\.npy cannot be read"):
        IdIndex.load(tmp_path, "x")
