"""Settings of random views, apart from the operations so that reading a configuration loads no torch."""

from pydantic import BaseModel, ConfigDict, Field


class ViewConfig(BaseModel):
    """The random views of SimCLR; every picture and every view draws its own parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_area: float = Field(0.2, gt=0, le=1, description="Least share of the picture's area that a crop keeps.")
    flip: float = Field(0.5, ge=0, le=1, description="Share of views that are mirrored left to right.")
    jitter: float = Field(0.8, ge=0, le=1, description="Share of views whose colours are jittered.")
    strength: float = Field(
        0.5, ge=0, le=1.25, description="Strength s: brightness, contrast and saturation change by 0.8s, hue by 0.2s."
    )
    grey: float = Field(0.2, ge=0, le=1, description="Share of views without colours.")
    blur: float = Field(0.5, ge=0, le=1, description="Share of views that are blurred; none at sizes below 65 pixels.")
