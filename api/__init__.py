"""The HTTP service: the answers of one release at a time, swapped without dropping a request.

``api.app.create_app`` makes the application; ``serve`` runs it. Importing this package loads no numerical
library: ``serve`` first sets how many threads they may start.
"""

from api.server import serve
from api.settings import Settings, load_settings

__all__ = ["Settings", "load_settings", "serve"]
