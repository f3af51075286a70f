"""Single settings by their dotted key, such as ``sequence.model.dim``: known, checked, read, and set over a base."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from recsvc.data.nearest import nearest
from recsvc.errors import ConfigError
from training.config import Config, load_config

Configure = Callable[[Mapping[str, Any]], Config]
"""Gives the whole configuration with these settings in it; ConfigError where they do not go together."""


def configured(path: Path | None, overrides: Sequence[str], presets: Sequence[str] = ()) -> Configure:
    """What a command's ``--preset``, ``--config`` and ``--set`` say, open to further settings, which win over them."""

    def configure(settings: Mapping[str, Any]) -> Config:
        further = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
        return load_config(path, [*overrides, *further], presets=presets)

    return configure


def overridden(overrides: Sequence[str]) -> set[str]:
    """The keys that ``--set`` names."""
    return {override.partition("=")[0].strip() for override in overrides}


def check_key(key: str, where: str) -> None:
    """Refuse the key of no setting.

    Raises:
        ConfigError: naming the nearest one.
    """
    known = _fields()
    if key not in known:
        near = nearest(key, known, cutoff=0.0)
        raise ConfigError(f"{where}: there is no setting {key!r}; the nearest is {near!r}")


def check_value(key: str, value: Any, where: str) -> Any:
    """The value as the setting takes it: the text ``1e-3`` becomes a number where one belongs.

    Raises:
        ConfigError: it does not fit the setting, whatever the others are.
    """
    field = _fields()[key]
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(cast(Any, Annotated[field.annotation, field]))
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"{where}: {key}: {error.errors()[0]['msg']} (found {value!r})") from None


def read_setting(config: Config, key: str) -> Any:
    """The value of a setting."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def shown(value: Any) -> str:
    """A setting's value in a table or a file name."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, default=plain)


def plain(value: Any) -> Any:
    """A setting's value as JSON has it."""
    return TypeAdapter(Any).dump_python(value, mode="json")


def under(key: str, sections: Sequence[str]) -> bool:
    """Whether a key is one of ``sections`` or lies in one."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def _fields(model: type[BaseModel] = Config, prefix: str = "") -> dict[str, FieldInfo]:
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= _fields(inner, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = field
    return found
