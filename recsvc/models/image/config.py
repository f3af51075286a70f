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


class PairConfig(BaseModel):
    """The pairwise margin loss of Hadsell, Chopra and LeCun (2006)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: float = Field(1.0, gt=0, le=2, description="Distance from which two pictures push each other no more.")
    layers: int = Field(2, ge=1, le=3, description="Layers of the head.")
    projection: int = Field(128, ge=2, le=4096, description="Dimensions of the head's output, where the loss is.")


class SimCLRConfig(BaseModel):
    """SimCLR v1 (two layers in the head) and v2 (three)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(0.1, gt=0, description="Temperature of the NT-Xent loss.")
    layers: int = Field(2, ge=1, le=4, description="Layers of the projector: 2 in v1, 3 in v2.")
    hidden: int | None = Field(
        None, ge=2, description="Width of the projector's hidden layers; that of the features when empty."
    )
    projection: int = Field(128, ge=2, le=4096, description="Dimensions of the projector's output, where the loss is.")


class MoCoConfig(BaseModel):
    """MoCo v1 (linear head) and v2 (head with a hidden layer)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: int = Field(4096, ge=1, description="Keys K that wait as negatives.")
    momentum: float = Field(0.99, ge=0, le=1, description="Momentum m of the key encoder.")
    temperature: float = Field(0.2, gt=0, description="Temperature of the loss.")
    head: Literal["linear", "mlp", "mlp-norm"] = Field(
        "mlp", description="Head of v1, of v2, or of v2 with BatchNorm, as i-Mix has it on small pictures."
    )
    projection: int = Field(128, ge=2, le=4096, description="Dimensions of queries and keys.")
    symmetric: bool = Field(False, description="Whether each view is query and key in turn.")
    norm_groups: int = Field(
        8,
        ge=1,
        description="Parts of a batch that are normalised apart, keys in another order than queries, in place of "
        "shuffled BatchNorm over processes.",
    )


class BYOLConfig(BaseModel):
    """BYOL, and what its paper takes away from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    momentum: float = Field(
        0.99,
        ge=0,
        le=1,
        description="Momentum of the target at the start; 1 is the fixed random target, 0 the online network itself.",
    )
    anneal: bool = Field(True, description="Whether the momentum rises to 1 along a cosine.")
    hidden: int = Field(4096, ge=2, description="Width of the hidden layers of projector and predictor.")
    projection: int = Field(256, ge=2, le=4096, description="Dimensions of the projector's output.")
    predictor: bool = Field(True, description="Whether the online network predicts the target's projection.")
    negatives: float = Field(0.0, ge=0, description="Weight of negatives in the loss, 0 in BYOL, 1 in SimCLR.")
    temperature: float = Field(0.1, gt=0, description="Temperature of the negatives' term, where they have a weight.")


class SwAVConfig(BaseModel):
    """SwAV: codes by prototypes, swapped between views."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prototypes: int = Field(300, ge=2, description="Number K of prototypes, about ten for each expected kind.")
    temperature: float = Field(0.1, gt=0, description="Temperature of the predicted code.")
    epsilon: float = Field(0.05, gt=0, description="Weight of the entropy in the assignment; larger is more even.")
    iterations: int = Field(3, ge=1, description="Iterations of Sinkhorn and Knopp.")
    hidden: int = Field(2048, ge=2, description="Width of the projector's hidden layer.")
    projection: int = Field(128, ge=2, le=4096, description="Dimensions of the projector's output.")
    queue: int = Field(0, ge=0, description="Earlier projections that take part in the assignment of each full view.")
    queue_from_epoch: float = Field(15, ge=0, description="Epochs before the queue begins to fill.")
    freeze_epochs: float = Field(1, ge=0, description="Epochs at the start in which the prototypes stay as they are.")


class IMixConfig(BaseModel):
    """i-Mix on one of three losses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: Literal["n-pair", "moco", "byol"] = Field(
        "n-pair", description="Loss whose instances are mixed; moco and byol take the settings of their sections."
    )
    alpha: float = Field(1.0, ge=0, description="The shares are drawn from Beta(alpha, alpha); 0 mixes nothing.")
    kind: Literal["mixup", "cutmix"] = Field("mixup", description="Whether pictures are blended or cut together.")
    input_mix: int = Field(
        0, ge=0, le=2, description="Other pictures that are blended into each view first without a share in its label."
    )
    temperature: float = Field(0.2, gt=0, description="Temperature of the N-pair loss.")
    projection: int = Field(128, ge=2, le=4096, description="Dimensions of the N-pair head's output.")
