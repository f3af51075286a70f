"""recsvc: recommendations and similarity search from exported encoders, over HTTP or in Python."""

__version__ = "0.1.0"
