"""The views of each paper under its name, and what a user may change of them; loads no torch.

Crops, colours and shares are those of the papers and of their authors' code:

- ``simclr``, ``simclr-cifar``: Chen et al., ICML 2020, appendix A and B.9 (half the strength, no blur).
- ``moco-v1``: He et al., CVPR 2020 (its grey comes before its jitter, here after); ``moco-v2``: Chen et al., 2020;
  ``moco-cifar``: the authors' CIFAR demo.
- ``byol``: Grill et al., NeurIPS 2020, table 6, where the two views differ; ``byol-cifar``: solo-learn's, without blur.
- ``swav``: Caron et al., NeurIPS 2020: two full crops and six small ones; ``swav-cifar``: solo-learn's, two full crops.
- ``i-mix``: Lee et al., ICLR 2021, for CIFAR.
- ``none``: the whole picture as it is, for mixing without knowledge of the domain.
- ``default``: SimCLR's for pictures of a catalogue, with gentler crops.
"""

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from recsvc.models.image.view_config import ViewConfig

Preset = Literal[
    "default",
    "simclr",
    "simclr-cifar",
    "moco-v1",
    "moco-v2",
    "moco-cifar",
    "byol",
    "byol-cifar",
    "swav",
    "swav-cifar",
    "i-mix",
    "none",
]


class ViewSet(BaseModel):
    """The views that are made of each picture: two full crops, then ``small_count`` smaller ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: ViewConfig
    second: ViewConfig
    small: ViewConfig | None = None
    small_count: int = 0
    small_size: float = 3 / 7
    """Side of a small view as a share of a full view's."""

    @property
    def count(self) -> int:
        """Views of each picture."""
        return 2 + self.small_count


def _alike(**settings: Any) -> ViewSet:
    view = ViewConfig(**settings)
    return ViewSet(first=view, second=view)


_SIMCLR: dict[str, Any] = {"crop_area": (0.08, 1.0), "strength": 1.0}
_MOCO: dict[str, Any] = {"strength": 1.0, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
_BYOL: dict[str, Any] = _MOCO | {"crop_area": (0.08, 1.0), "saturation": 0.2, "blur": 0.0}

PRESETS = MappingProxyType[Preset, ViewSet](
    {
        "default": _alike(),
        "simclr": _alike(**_SIMCLR),
        "simclr-cifar": _alike(crop_area=(0.08, 1.0), strength=0.5, blur=0.0),
        "moco-v1": _alike(**_MOCO | {"jitter": 1.0, "hue": 0.4, "blur": 0.0}),
        "moco-v2": _alike(**_MOCO),
        "moco-cifar": _alike(**_MOCO, crop_area=(0.08, 1.0), blur=0.0),
        "byol": ViewSet(
            first=ViewConfig(**_BYOL | {"blur": 1.0}), second=ViewConfig(**_BYOL | {"blur": 0.1, "solarise": 0.2})
        ),
        "byol-cifar": ViewSet(first=ViewConfig(**_BYOL), second=ViewConfig(**_BYOL, solarise=0.2)),
        "swav": ViewSet(
            first=ViewConfig(crop_area=(0.14, 1.0), strength=1.0),
            second=ViewConfig(crop_area=(0.14, 1.0), strength=1.0),
            small=ViewConfig(crop_area=(0.05, 0.14), strength=1.0),
            small_count=6,
        ),
        # solo-learn blurs at 32 pixels too.
        "swav-cifar": _alike(**_SIMCLR, blur_above=0),
        "i-mix": _alike(**_MOCO, blur=0.0),
        "none": _alike(crop_area=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.0, jitter=0.0, grey=0.0, blur=0.0),
    }
)
assert set(PRESETS) == set(get_args(Preset))


def _or_empty(name: str) -> tuple[Any, Any]:
    """The field of :class:`ViewConfig` that may be left out."""
    field = ViewConfig.model_fields[name]
    return (
        Annotated[field.annotation, "where given", *field.metadata] | None,
        Field(None, description=f"{field.description} Empty: as the preset has it."),
    )


class _Changes(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def given(self) -> dict[str, Any]:
        """What is not empty, of the settings of a view."""
        return {name: value for name in ViewConfig.model_fields if (value := getattr(self, name)) is not None}


if TYPE_CHECKING:

    class ViewChanges(_Changes):
        """Any settings of a view; one that is empty stays as it is."""
else:
    ViewChanges = create_model(
        "ViewChanges",
        __base__=_Changes,
        __doc__="Any settings of a view; one that is empty stays as it is.",
        **{name: _or_empty(name) for name in ViewConfig.model_fields},
    )


class ViewsConfig(ViewChanges):
    """The views of a method: a preset, and changes of it. Settings of a view given here hold for both full views."""

    preset: Preset = Field("default", description="Views of which paper; `none` shows every picture as it is.")
    first: ViewChanges = Field(default_factory=ViewChanges, description="Changes of the first full view alone.")
    second: ViewChanges = Field(default_factory=ViewChanges, description="Changes of the second full view alone.")
    small: ViewChanges = Field(default_factory=ViewChanges, description="Changes of the small views of multi-crop.")
    small_count: int | None = Field(None, ge=0, le=32, description="Small views; as the preset has it when empty.")
    small_size: float | None = Field(
        None, gt=0, le=1, description="Side of small views as a share of the full ones'; as the preset when empty."
    )

    @model_validator(mode="after")
    def _check(self) -> "ViewsConfig":
        self.view_set()
        return self

    def view_set(self) -> ViewSet:
        """The preset with the changes made.

        Raises:
            ValueError: settings do not fit together.
        """
        base = PRESETS[self.preset]
        count = base.small_count if self.small_count is None else self.small_count
        if count and base.small is None and "crop_area" not in self.small.given():
            raise ValueError(
                f"small.crop_area: the preset {self.preset!r} has no small views; say what share of a picture they "
                "show, for example [0.05, 0.14]"
            )
        small = _changed("small", base.small or base.second, self.small.given()) if count else None
        return ViewSet(
            first=_changed("first", base.first, self.given() | self.first.given()),
            second=_changed("second", base.second, self.given() | self.second.given()),
            small=small,
            small_count=count,
            small_size=self.small_size or base.small_size,
        )


def _changed(where: str, view: ViewConfig, changes: dict[str, Any]) -> ViewConfig:
    try:
        return ViewConfig(**view.model_dump() | changes)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"{where}: {problem['msg'].removeprefix('Value error, ')}") from None
