"""Secrets in files, as containers get them: ``RECSVC_DATABASE_FILE`` names the file that holds ``RECSVC_DATABASE``.

A file is read by the process that needs it, each time anew: a secret that was in no variable is in no child's
environment either. What is said outright (an option, or the variable itself) goes before the file.
"""

import os
from pathlib import Path
from typing import Final

from recsvc.errors import ConfigError

_SUFFIX: Final = "_FILE"
_MAX_BYTES: Final = 65_536


def secret(name: str, given: str | None = None) -> str | None:
    """What a setting that may be secret is: ``given``, the variable ``name``, or what stands in the file of it.

    Raises:
        ConfigError: the variable ``name + "_FILE"`` is used, and the file cannot be.
    """
    if given:
        return given
    if value := os.environ.get(name):
        return value
    path = os.environ.get(name + _SUFFIX)
    return read_secret(Path(path), name + _SUFFIX) if path else None


def read_secret(path: Path, what: str) -> str:
    """The text of a file that holds one secret, without white space around it; no message quotes it.

    Args:
        path: The file.
        what: The option or variable that named it, for messages.

    Raises:
        ConfigError: there is no such file, it cannot be read, or it holds no text of one line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no path"
        raise ConfigError(f"{what} {path}: the file cannot be read ({reason})") from None
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{what} {path}: the file is no UTF-8 text") from None
    if not text or "\n" in text or "\0" in text or len(content) > _MAX_BYTES:
        raise ConfigError(f"{what} {path}: the file must hold one line, the secret itself")
    return text
