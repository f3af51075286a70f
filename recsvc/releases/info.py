"""What a list of releases says of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue


@dataclass(frozen=True)
class ReleaseInfo:
    """One release as a list shows it.

    Attributes:
        id: The release id.
        created: When it was published, UTC.
        active: Whether it takes traffic.
        size: Bytes of its files; 0 where the manifest is damaged.
        metrics: What the manifest says about its quality; empty where the manifest is damaged.
        damage: What is wrong with it, as far as its manifest, file names and sizes tell; None if nothing is.
    """

    id: str
    created: datetime
    active: bool
    size: int
    metrics: Mapping[str, JsonValue] = field(default_factory=dict)
    damage: str | None = None
