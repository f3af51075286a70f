"""What a data set folder, the database, the service and the client all keep to."""

from typing import Final

MAX_ID_BYTES: Final = 512
"""The longest id, in bytes of UTF-8."""
