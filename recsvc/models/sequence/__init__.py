"""Sequence models: the `behaviour` space."""
