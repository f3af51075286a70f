"""The one configuration of the pipeline: frozen pydantic models, each field with a default, a unit and a sentence."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError

from recsvc.data import HistoryConfig, SplitConfig
from recsvc.errors import ConfigError
from recsvc.models.sequence.config import BERT4RecConfig
from training.graph.config import GraphConfig
from training.image.config import ImageConfig
from training.sections import LoopConfig, Section


class SequenceTraining(Section):
    """How interaction sequences become training rows."""

    tokens_per_batch: int = Field(
        1600, ge=2, description="Real tokens in a batch, about; small batches converge in fewer passes."
    )
    mask_share: float = Field(0.2, gt=0, lt=1, description="Share of a row's items hidden (rho of the Cloze task).")
    last_share: float = Field(0.1, ge=0, le=1, description="Share of rows in which only the last item is hidden.")
    window_step: float = Field(
        0.5, gt=0, le=1, description="Step between windows of a long history, as a share of max_length."
    )


class SequenceConfig(Section):
    """The `behaviour` space: BERT4Rec on interaction sequences."""

    model: BERT4RecConfig = Field(default_factory=BERT4RecConfig, description="Architecture.")
    rows: SequenceTraining = Field(default_factory=SequenceTraining, description="Training rows.")
    loop: LoopConfig = Field(default_factory=LoopConfig, description="Optimisation and schedule.")


class EvaluationConfig(Section):
    """How next-item predictions are judged."""

    cutoffs: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 5, 10, 20), min_length=1, description="The k of HR@k, NDCG@k and MRR@k."
    )
    exclude_seen: bool = Field(
        True, description="Rank without the items of the history; switch off where people repeat themselves."
    )


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
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig, description="Threads, device, memory.")


def load_config(path: Path | None = None, overrides: Sequence[str] = (), *, base: Config | None = None) -> Config:
    """Read a YAML file and apply ``key.path=value`` overrides (values are YAML too).

    Args:
        path: the file, or None.
        overrides: single settings, which win over the file.
        base: where the settings start from if there is no file; the defaults if None.

    Raises:
        ConfigError: the file cannot be read, a key is unknown (the nearest one is named), a value does not fit.
    """
    tree: dict[str, Any] = {} if base is None else base.model_dump(mode="json")
    if path is not None:
        tree = _read_yaml(path)
    for override in overrides:
        _apply(tree, override)
    where = str(path) if path is not None and not overrides else "the configuration"
    return parse_config(tree, where)


def parse_config(tree: dict[str, Any], where: str) -> Config:
    """Check a plain tree of settings against the schema; ``where`` names it in errors."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, where)) from None


def dump_config(config: Config) -> str:
    """The configuration as YAML, every field written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


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
        text = f"{where}: {key or 'the whole'}: {first['msg']} (found {first['input']!r})"
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
