"""The one configuration of the pipeline: frozen pydantic models, each field with a default, a unit and a sentence."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError

from recsvc.data import HistoryConfig, SplitConfig
from recsvc.errors import ConfigError
from training.graph.config import GraphConfig
from training.image.config import ImageConfig
from training.index_config import IndexConfig
from training.retrain.config import RetrainConfig
from training.sections import Section
from training.sequence.config import EvaluationConfig, SequenceConfig

_PRESETS = Path(__file__).parent / "presets"


class RuntimeConfig(Section):
    """The process that trains."""

    threads: int | None = Field(None, ge=1, description="CPU threads; all available cores when empty.")
    accelerator: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where tensors live.")
    keep_memory: bool = Field(
        True, description="Tell glibc to keep freed memory (faster steps; the process does not shrink)."
    )


class Config(Section):
    """Everything that decides what a run computes."""

    data: HistoryConfig = Field(default_factory=HistoryConfig, description="Which events make a history.")
    split: SplitConfig = Field(default_factory=SplitConfig, description="What is held out.")
    sequence: SequenceConfig = Field(default_factory=SequenceConfig, description="The `behaviour` space.")
    graph: GraphConfig = Field(default_factory=GraphConfig, description="The `graph` space.")
    image: ImageConfig = Field(default_factory=ImageConfig, description="The `image` space.")
    evaluation: EvaluationConfig = Field(
        default_factory=EvaluationConfig, description="Metrics of the `behaviour` space."
    )
    index: IndexConfig = Field(default_factory=IndexConfig, description="How the vectors of a release are searched.")
    retrain: RetrainConfig = Field(
        default_factory=RetrainConfig, description="What `recsvc retrain` does besides training."
    )
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig, description="Threads, device, memory.")


SECTIONS: Final = {"behaviour": "sequence", "graph": "graph", "image": "image"}
"""The section of each trained space."""


def load_config(
    path: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    presets: Sequence[str] = (),
    base: Config | None = None,
) -> Config:
    """Read a YAML file and apply ``key.path=value`` overrides (values are YAML too).

    Args:
        path: the file, or None; it wins over presets.
        overrides: single settings, which win over everything.
        presets: names out of :func:`preset_names`; a later one wins over an earlier one.
        base: where the settings start from if there is no file; the defaults if None.

    Raises:
        ConfigError: a preset is unknown, the file cannot be read, a key is unknown (the nearest one is named), a value
            does not fit.
    """
    tree: dict[str, Any] = {} if base is None or path is not None else base.model_dump(mode="json")
    for name in presets:
        _merge(tree, _read_preset(name))
    if path is not None:
        _merge(tree, _read_yaml(path))
    for override in overrides:
        _apply(tree, override)
    where = str(path) if path is not None and not overrides else "the configuration"
    return parse_config(tree, where)


def change_trained(config: Config, overrides: Sequence[str], sections: Sequence[str]) -> Config:
    """A finished run's configuration with other settings in some sections, none of which decide what is trained.

    Raises:
        ConfigError: as ``load_config``, or a setting decides what has been trained.
    """
    changed = load_config(overrides=overrides, base=config)
    if changed.model_copy(update={section: getattr(config, section) for section in sections}) != config:
        free = " and ".join(f"{section}.*" for section in sections)
        raise ConfigError(f"--set: of a trained run only {free} can change here; train again instead")
    return changed


def parse_config(tree: dict[str, Any], where: str) -> Config:
    """Check a plain tree of settings against the schema; ``where`` names it in errors."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, where)) from None


def dump_config(config: Config) -> str:
    """The configuration as YAML, every field written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def preset_names() -> list[str]:
    """Names of the settings that come with the package, each a few lines in ``training/presets``."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def _read_preset(name: str) -> dict[str, Any]:
    if name not in preset_names():
        raise ConfigError(f"--preset {name}: there is no such preset; there are {', '.join(preset_names())}")
    return _read_yaml(_PRESETS / f"{name}.yaml")


def _merge(tree: dict[str, Any], other: dict[str, Any]) -> None:
    """Put the settings of another tree over those of this one, section by section."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{path}: the configuration cannot be read ({reason}); give a UTF-8 YAML file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected a mapping of sections such as `sequence:`, found {tree!r}")
    return tree


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: expected key.path=value, for example sequence.model.dim=128")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: the value is not YAML") from None
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        branch = tree.setdefault(parent, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"--set {override}: {parent!r} is a value, not a section")
        tree = branch
    tree[leaf] = value


def _explain(error: ValidationError, where: str) -> str:
    """The first problem of a validation in one sentence, with the count of the others."""
    first, *others = error.errors()
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.0)
        text = f"{where}: unknown key {key!r}" + (f"; the nearest there is {near[0]!r}" if near else "")
    else:
        message = first["msg"].removeprefix("Value error, ")
        text = f"{where}: {key or 'the whole'}: {message} (found {first['input']!r})"
    return text + (f"; and {len(others)} more" if others else "")


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    """The keys of the section at a path, or none where it lies inside a list."""
    model: type[BaseModel] = Config
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        model = field.annotation
    return list(model.model_fields)
