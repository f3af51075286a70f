"""word2vec's files: gensim reads ours, we read gensim's, word2vec.c's and those without a header."""

import struct

import numpy as np
import pytest
from gensim.models import KeyedVectors

from recsvc.errors import ConfigError, DatasetError
from recsvc.export import encode_node, read_word2vec, write_word2vec

NODES = [("film", "Heat"), ("film", "Tom Hanks"), ("person", "Heat"), ("person", "é 100%\n"), ("t", "x" * 300)]
KEYS = [encode_node(*node) for node in NODES]


@pytest.fixture
def vectors():
    found = np.random.default_rng(0).normal(0, 1, (5, 7)).astype(np.float32)
    found[0, :4] = [0, -1e-30, 3.4e38, 1 / 3]
    found[1, 0] = np.frombuffer(b"\n \n ", "<f4")[0]  # bytes that look like separators
    return found


@pytest.mark.parametrize("binary", [True, False])
def test_gensim_reads_ours(tmp_path, vectors, binary):
    write_word2vec(tmp_path / "v", KEYS, vectors, binary=binary)
    found = KeyedVectors.load_word2vec_format(tmp_path / "v", binary=binary)
    assert found.index_to_key == KEYS
    assert found.vectors.tobytes() == vectors.tobytes()
    keys, ours = read_word2vec(tmp_path / "v", binary=binary)
    assert keys == KEYS and ours.tobytes() == vectors.tobytes() and ours.dtype == np.float32


@pytest.mark.parametrize("binary", [True, False])
def test_we_read_gensims(tmp_path, vectors, binary):
    theirs = KeyedVectors(7)
    theirs.add_vectors(KEYS, vectors)
    theirs.save_word2vec_format(tmp_path / "v", binary=binary)
    keys, found = read_word2vec(tmp_path / "v", binary=binary)
    assert keys == KEYS
    np.testing.assert_allclose(found, vectors, rtol=1e-6)


@pytest.mark.parametrize("line_break", [b"", b"\n"])
def test_binary_rows_with_and_without_a_line_break(tmp_path, vectors, line_break):
    """word2vec.c writes one, gensim does not; the first row of either may be </s>."""
    rows = [b"</s>", *(key.encode() for key in KEYS[:4])]
    body = b"".join(key + b" " + struct.pack("<7f", *row) + line_break for key, row in zip(rows, vectors, strict=True))
    (tmp_path / "v").write_bytes(b"5 7\n" + body)
    keys, found = read_word2vec(tmp_path / "v", binary=True)
    assert keys == KEYS[:4] and found.tobytes() == vectors[1:].tobytes()


@pytest.mark.parametrize("header", ["5 2\n", ""])
def test_text_with_and_without_a_header(tmp_path, header):
    """word2vec.c ends each line with a blank, and each file may end without a line break."""
    (tmp_path / "v").write_text(header + "</s> 0 0 \na 1 2 \nb -1e-3 4\nc 5 6\r\nd 7 8", "utf-8")
    keys, found = read_word2vec(tmp_path / "v", binary=False)
    assert keys == ["a", "b", "c", "d"] and found.tolist() == [[1, 2], [np.float32(-1e-3), 4], [5, 6], [7, 8]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2 3\na 1 2 3\nb 1 2\n", r"v:3: expected a key and 3 numbers, found 2 after the key"),
        ("a 1 2\nb 1 x\n", r"v:2: what follows the key 'b' is not all numbers"),
        ("3 2\na 1 2\nb 1 2\n", r"the header says 3 rows, and there are 2: the file is cut"),
        ("a 1 2\na 1 2\n", r"the key 'a' stands there twice"),
    ],
)
def test_text_that_is_broken(tmp_path, text, problem):
    (tmp_path / "v").write_text(text, "utf-8")
    with pytest.raises(DatasetError, match=problem):
        read_word2vec(tmp_path / "v", binary=False)


def test_binary_that_is_broken(tmp_path, vectors):
    write_word2vec(tmp_path / "v", KEYS, vectors, binary=True)
    whole = (tmp_path / "v").read_bytes()
    for damaged, problem in (
        (b"not a header\n" + whole, "no binary word2vec file"),
        (b"9" + whole, "for which .* bytes are too few"),
        (whole[:-20], r"row 5 of 5 is cut"),
        (whole.replace(b"5 7", b"5 6", 1), "has no key that ends in a blank|not UTF-8|is cut|twice"),
    ):
        (tmp_path / "v").write_bytes(damaged)
        with pytest.raises(DatasetError, match=problem):
            read_word2vec(tmp_path / "v", binary=True)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_word2vec(tmp_path / "nothing", binary=True)


def test_files_are_whole_and_never_replaced(tmp_path, vectors):
    path = tmp_path / "v"
    with pytest.raises(ValueError, match="argument"):  # fewer keys than vectors: our fault, and nothing is left of it
        write_word2vec(path, KEYS[:2], vectors, binary=True)
    assert list(tmp_path.iterdir()) == []
    write_word2vec(path, KEYS, vectors, binary=True)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="exists already; give a new file"):
        write_word2vec(path, KEYS, vectors / 2, binary=True)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["v"]
    with pytest.raises(ConfigError, match="there is no folder"):
        write_word2vec(tmp_path / "no" / "v", KEYS, vectors, binary=True)
