"""What every space writes into a release."""

import faiss
import numpy as np
import pytest
from safetensors.numpy import load_file

from training.export import write_cosine_index, write_table


def test_a_table_and_its_index(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 8)).astype(np.float32)
    vectors[7] = 0
    write_table(vectors[:, ::1], np.arange(100, 150), tmp_path / "items.safetensors")
    table = load_file(tmp_path / "items.safetensors")
    assert set(table) == {"vectors", "catalogue_rows"}
    assert table["catalogue_rows"].dtype == np.int32 and table["catalogue_rows"].tolist() == list(range(100, 150))
    np.testing.assert_array_equal(table["vectors"], vectors)

    write_cosine_index(vectors, tmp_path / "similar.faiss")
    index = faiss.read_index(str(tmp_path / "similar.faiss"))
    stored = index.reconstruct_n(0, 50)
    lengths = np.linalg.norm(stored, axis=1)
    assert lengths[7] == 0 and np.delete(lengths, 7) == pytest.approx(1, abs=1e-6)
    scores, rows = index.search(stored[:1], 3)
    cosines = stored @ stored[0]
    np.testing.assert_array_equal(rows[0], np.argsort(-cosines)[:3])
    np.testing.assert_allclose(scores[0], np.sort(cosines)[::-1][:3], rtol=1e-5)


def test_a_bias_goes_along(tmp_path):
    bias = np.arange(3, dtype=np.float32)
    write_table(np.ones((3, 2), np.float32), np.arange(3), tmp_path / "t.safetensors", bias)
    np.testing.assert_array_equal(load_file(tmp_path / "t.safetensors")["bias"], bias)
