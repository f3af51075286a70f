"""Settings of image encoders and their views, apart from the modules so that reading a configuration loads no torch."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Backbone = Literal[
    "resnet9",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "wide_resnet50_2",
    "resnext50_32x4d",
    "vit_mini",
    "vit_tiny",
    "vit_small",
    "vit_base",
]


class EncoderConfig(BaseModel):
    """Which network turns a picture into a vector, and what it starts from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: Backbone = Field(
        "resnet9", description="resnet9 is made for training on a CPU; the others are torchvision's, for a GPU."
    )
    width: int = Field(
        16, ge=4, le=256, description="Channels w of resnet9's first layer; its vectors have 8w dimensions."
    )
    side: int = Field(
        16, ge=4, le=64, description="Side of resnet9's first maps; its stem strides larger pictures down to about it."
    )
    patch: int | None = Field(
        None, ge=1, description="Side of a ViT's patches in pixels, divides the input size; an eighth of it when empty."
    )
    pooling: Literal["cls", "mean"] = Field(
        "cls", description="What of a ViT is the vector: its [CLS] token, or the mean of the others."
    )
    weights: Path | None = Field(
        None,
        description="File of weights to start from: torchvision's, timm's or a public self-supervised checkpoint.",
    )
    projection: int = Field(128, ge=2, le=4096, description="Dimensions of the projector's output, where the loss is.")
