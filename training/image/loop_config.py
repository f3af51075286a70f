"""The `loop` sections of the image space."""

from typing import Literal

from pydantic import Field

from training.sections import LoopConfig


class ImageLoop(LoopConfig):
    """The shared loop with the defaults of self-supervised training, which reports its last epoch."""

    epochs: int = Field(25, ge=1, description="Passes over the training pictures.")
    optimiser: Literal["adamw", "sgd", "lars"] = Field("adamw", description="What turns gradients into steps.")
    learning_rate: float = Field(4e-3, gt=0, description="Peak learning rate, before it is scaled by the batch.")
    scaling: Literal["none", "linear", "sqrt"] = Field(
        "none", description="What the learning rate is multiplied by: nothing, batch / 256, or the root of the batch."
    )
    decay_all: bool = Field(
        False, description="Whether weight decay falls on norms and biases too, as in MoCo's and i-Mix's codes."
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
