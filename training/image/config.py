"""The `image:` section of the configuration."""

from typing import Literal, Self

from pydantic import Field, model_validator

from recsvc.models.image.config import (
    BYOLConfig,
    EncoderConfig,
    IMixConfig,
    MoCoConfig,
    PairConfig,
    SimCLRConfig,
    SwAVConfig,
)
from recsvc.models.image.view_presets import ViewsConfig
from training.image.evaluation_config import ImageEvaluation
from training.sections import LoopConfig, Section

MethodName = Literal["pair", "simclr", "moco", "byol", "swav", "i-mix"]


class ImageLoop(LoopConfig):
    """The shared loop with the defaults of self-supervised training, which reports its last epoch."""

    epochs: int = Field(25, ge=1, description="Passes over the training pictures.")
    optimiser: Literal["adamw", "sgd", "lars"] = Field("adamw", description="What turns gradients into steps.")
    learning_rate: float = Field(4e-3, gt=0, description="Peak learning rate, before it is scaled by the batch.")
    scaling: Literal["none", "linear", "sqrt"] = Field(
        "none", description="What the learning rate is multiplied by: nothing, batch / 256, or the root of the batch."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd and lars.")
    trust: float = Field(0.001, gt=0, description="Trust coefficient eta of lars.")
    trust_clip: bool = Field(False, description="Whether lars never raises the learning rate (LARC's clipping).")
    warmup_steps: int = Field(50, ge=0, description="Steps of linear warm-up at least.")
    warmup_epochs: float = Field(0.0, ge=0, description="Epochs of linear warm-up at least.")
    schedule: Literal["cosine", "steps", "constant"] = Field("cosine", description="The learning rate after warm-up.")
    milestones: list[float] = Field(
        [0.6, 0.8], description="Shares of the training at which the schedule `steps` takes a tenth of the rate."
    )
    evaluate_every: int = Field(5, ge=1, description="Epochs between two validations.")
    keep: Literal["best", "last"] = Field(
        "last", description="Weights to end with: of the last epoch, or of the best validation."
    )


class ImageConfig(Section):
    """The `image` space: a self-supervised method on the catalogue's pictures."""

    method: MethodName = Field("simclr", description="How the encoder learns; each has a section of its own.")
    model: EncoderConfig = Field(default_factory=EncoderConfig, description="The encoder.")
    size: int | None = Field(
        None, ge=16, le=512, description="Side of the encoder's input in pixels; chosen from the pictures when empty."
    )
    views: ViewsConfig = Field(default_factory=ViewsConfig, description="Random views.")
    pair: PairConfig = Field(default_factory=PairConfig, description="The pairwise margin loss.")
    simclr: SimCLRConfig = Field(default_factory=SimCLRConfig, description="SimCLR v1 and v2.")
    moco: MoCoConfig = Field(default_factory=MoCoConfig, description="MoCo v1 and v2.")
    byol: BYOLConfig = Field(default_factory=BYOLConfig, description="BYOL.")
    swav: SwAVConfig = Field(default_factory=SwAVConfig, description="SwAV.")
    i_mix: IMixConfig = Field(default_factory=IMixConfig, description="i-Mix.")
    batch_size: int = Field(
        128, ge=2, description="Pictures in a batch, about, in all processes; small batches learn in fewer passes."
    )
    loop: ImageLoop = Field(default_factory=ImageLoop, description="Optimisation and schedule.")
    evaluation: ImageEvaluation = Field(default_factory=ImageEvaluation, description="How the vectors are judged.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.method != "swav" and self.views.view_set().small_count:
            raise ValueError(
                f"views.small_count: the method {self.method!r} compares two views of a picture; only swav takes small "
                "ones, so set it to 0 or choose another views.preset"
            )
        return self
