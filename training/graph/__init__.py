"""The `graph` space: fit, evaluate and export metapath2vec on a typed graph."""
