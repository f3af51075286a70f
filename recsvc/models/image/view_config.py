"""Settings of one random view, apart from the operations so that reading a configuration loads no torch."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _up_to_all(value: Any) -> Any:
    """A single number is the least share of the area; the most is then the whole picture."""
    return (value, 1.0) if isinstance(value, int | float) and not isinstance(value, bool) else value


Share = Annotated[float, Field(ge=0, le=1)]
Change = Annotated[float, Field(ge=0, le=2)]
Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class ViewConfig(BaseModel):
    """How one view of a picture is drawn; every picture and every view draws its own parameters.

    Operations come in this order: crop, flip, jitter (its four in random order), grey, blur, solarise, rotate, cutout,
    Sobel. The defaults are SimCLR's for small pictures, with crops that are not quite as small.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_area: Annotated[Range, BeforeValidator(_up_to_all)] = Field(
        (0.2, 1.0),
        description="Share of the picture that a crop keeps, least and most; one number is the least.",
    )
    aspect: Range = Field((3 / 4, 4 / 3), description="Width by height of a crop, least and most.")
    flip: Share = Field(0.5, description="Share of views that are mirrored left to right.")
    jitter: Share = Field(0.8, description="Share of views whose colours are jittered.")
    strength: float = Field(0.5, ge=0, le=2.5, description="Strength s, by which the four changes are multiplied.")
    brightness: Change = Field(0.8, description="Largest change of brightness at strength 1.")
    contrast: Change = Field(0.8, description="Largest change of contrast at strength 1.")
    saturation: Change = Field(0.8, description="Largest change of saturation at strength 1.")
    hue: float = Field(0.2, ge=0, le=0.5, description="Largest turn of the hue at strength 1, in whole turns.")
    grey: Share = Field(0.2, description="Share of views without colours.")
    blur: Share = Field(0.5, description="Share of views that are blurred.")
    blur_above: int = Field(
        64,
        ge=0,
        description="Sides in pixels up to which no view is blurred: a crop blown up to such a size is soft enough.",
    )
    sigma: Range = Field((0.1, 2.0), description="Standard deviation of the blur in pixels, least and most.")
    solarise: Share = Field(0.0, description="Share of views whose values from 0.5 on are inverted.")
    rotate: Share = Field(0.0, description="Share of views turned by 90, 180 or 270 degrees.")
    angle: float = Field(0.0, ge=0, le=180, description="Every view is turned by up to so many degrees either way.")
    cutout: Share = Field(0.0, description="Share of views with a square erased.")
    cutout_side: float = Field(0.5, gt=0, le=1, description="Side of the erased square as a share of the view's.")
    sobel: Share = Field(0.0, description="Share of views of which only the edges are shown.")

    @model_validator(mode="after")
    def _check(self) -> "ViewConfig":
        for name in ("crop_area", "aspect", "sigma"):
            least, most = getattr(self, name)
            if least > most:
                raise ValueError(f"{name}: the least, {least:g}, is above the most, {most:g}; give them in this order")
        if self.crop_area[1] > 1:
            raise ValueError(f"crop_area: {self.crop_area[1]:g} is more than the whole picture; give at most 1")
        if self.strength * self.hue > 0.5:
            raise ValueError(
                f"hue: {self.hue:g} at strength {self.strength:g} turns by more than half a turn, which is all there "
                "is; lower one of them"
            )
        return self
