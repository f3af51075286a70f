"""Heterogeneous graph embedding: meta-path walks, and the skip-gram of metapath2vec and metapath2vec++."""
