"""recsvc: recommendations and similarity search from exported encoders, over HTTP or in Python."""

import os

# ONNX Runtime writes an id and usage events into the home directory when it is imported, unless told not to before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
