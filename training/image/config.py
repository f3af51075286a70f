"""The `image:` section of the configuration."""

from typing import Literal

from pydantic import Field

from recsvc.models.image.config import EncoderConfig
from recsvc.models.image.view_config import ViewConfig
from training.sections import LoopConfig, Section


class ImageLoop(LoopConfig):
    """The shared loop with the defaults of self-supervised training, which reports its last epoch."""

    epochs: int = Field(25, ge=1, description="Passes over the training pictures.")
    learning_rate: float = Field(4e-3, gt=0, description="Peak learning rate of AdamW.")
    warmup_steps: int = Field(50, ge=0, description="Steps of linear warm-up before the cosine decay.")
    evaluate_every: int = Field(5, ge=1, description="Epochs between two validations.")
    keep: Literal["best", "last"] = Field(
        "last", description="Weights to end with: of the last epoch, or of the best validation."
    )


class ImageConfig(Section):
    """The `image` space: SimCLR on the catalogue's pictures."""

    model: EncoderConfig = Field(default_factory=EncoderConfig, description="Architecture.")
    size: int | None = Field(
        None, ge=16, le=512, description="Side of the encoder's input in pixels; chosen from the pictures when empty."
    )
    views: ViewConfig = Field(default_factory=ViewConfig, description="Random views.")
    temperature: float = Field(0.1, gt=0, description="Temperature of the NT-Xent loss.")
    batch_size: int = Field(
        128, ge=2, description="Pictures in a batch, about, each in two views; small batches learn in fewer passes."
    )
    loop: ImageLoop = Field(default_factory=ImageLoop, description="Optimisation and schedule.")
    neighbours: int = Field(20, ge=1, description="The k of kNN accuracy.")
