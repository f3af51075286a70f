"""Vectors and walks in files that other tools read: word2vec's two formats, Parquet, NumPy, and walks one a line."""

from recsvc.export.files import new_file
from recsvc.export.keys import decode_key, encode_key, encode_node, split_key
from recsvc.export.tables import write_npy, write_parquet
from recsvc.export.walk_files import read_walks, write_walks
from recsvc.export.word2vec import read_word2vec, write_word2vec

__all__ = [
    "decode_key",
    "encode_key",
    "encode_node",
    "new_file",
    "read_walks",
    "read_word2vec",
    "split_key",
    "write_npy",
    "write_parquet",
    "write_walks",
    "write_word2vec",
]
