"""Encoders and random views of rows of features, for the methods of `recsvc.models.image`."""
