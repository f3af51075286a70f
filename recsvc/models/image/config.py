"""Settings of image encoders and their views, apart from the modules so that reading a configuration loads no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Backbone = Literal["resnet9", "resnet18", "resnet34", "resnet50", "vit_tiny", "vit_small"]


class EncoderConfig(BaseModel):
    """Which network turns a picture into a vector, and the projector that it is trained through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: Backbone = Field(
        "resnet9", description="resnet9 is made for training on a CPU; the others are torchvision's, for a GPU."
    )
    width: int = Field(
        16, ge=4, le=256, description="Channels w of resnet9's first layer; its vectors have 8w dimensions."
    )
    patch: int | None = Field(
        None, ge=1, description="Side of a ViT's patches in pixels, divides the input size; an eighth of it when empty."
    )
    projection: int = Field(128, ge=2, le=4096, description="Dimensions of the projector's output, where the loss is.")


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
