"""Walks in text files: out and in again, and tokens that are no nodes named by line."""

import numpy as np
import pytest

from recsvc.errors import DatasetError
from recsvc.export import read_walks, write_walks

NAMES = ["a:x", "a:y%20z", "b:x"]
ROWS = {name: row for row, name in enumerate(NAMES)}


def test_out_and_in(tmp_path):
    blocks = [
        (np.array([0, 2, 1, 1, 2], np.int32), np.array([3, 5])),
        (np.array([2, 0], np.int32), np.array([2])),
        (np.zeros(0, np.int32), np.zeros(0, np.int64)),
    ]
    assert write_walks(tmp_path / "w.txt", blocks, NAMES) == 3
    assert (tmp_path / "w.txt").read_text("utf-8") == "a:x b:x a:y%20z\na:y%20z b:x\nb:x a:x\n"
    tokens, ends = read_walks(tmp_path / "w.txt", ROWS)
    assert tokens.tolist() == [0, 2, 1, 1, 2, 2, 0] and ends.tolist() == [3, 5, 7]
    assert tokens.dtype == np.int32 and ends.dtype == np.int64


def test_short_and_empty_lines_are_passed_over(tmp_path):
    (tmp_path / "w.txt").write_text("\na:x\n  a:x\tb:x \nb:x", "utf-8")
    tokens, ends = read_walks(tmp_path / "w.txt", ROWS)
    assert tokens.tolist() == [0, 2] and ends.tolist() == [2]


def test_tokens_that_are_no_nodes(tmp_path):
    path = tmp_path / "w.txt"
    path.write_text("a:x b:x\na:x c:x\n\nvKDD a:x\n", "utf-8")
    with pytest.raises(DatasetError) as error:
        read_walks(path, ROWS)
    first, second = str(error.value).splitlines()
    assert first.startswith(f"{path}:2: the graph has no node 'c:x'") and "%20" in first
    assert second == f"{path}:4: 'vKDD' is not written type:id"


def test_no_walks(tmp_path):
    (tmp_path / "w.txt").write_text("a:x\n", "utf-8")
    (tmp_path / "b.txt").write_bytes(b"a:x \xff\n")
    for name, problem in (("w.txt", "no line has two nodes"), ("b.txt", "not UTF-8"), ("none", "cannot be read")):
        with pytest.raises(DatasetError, match=problem):
            read_walks(tmp_path / name, ROWS)
