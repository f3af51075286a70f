"""Parts of the configuration that several spaces share; `training.config` puts the whole together."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LoopConfig(Section):
    """How the shared training loop runs."""

    epochs: int = Field(40, ge=1, description="Passes over the training data at most.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")
    warmup_steps: int = Field(200, ge=0, description="Steps of linear warm-up before the cosine decay.")
    final_share: float = Field(0.01, ge=0, le=1, description="Learning rate at the end, as a share of the peak.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decoupled decay; not on biases and norms.")
    clip_norm: float | None = Field(5.0, gt=0, description="Largest norm of the whole gradient; no limit when empty.")
    evaluate_every: int = Field(2, ge=1, description="Epochs between two validations.")
    patience: int = Field(5, ge=1, description="Validations without a better metric before training stops.")
    keep: Literal["best", "last"] = Field(
        "best", description="Weights to end with: of the best validation, or of the last epoch; patience then waits."
    )
    checkpoint_seconds: float = Field(
        60.0, ge=0, description="Seconds between two checkpoints; also written at every validation."
    )
    precision: Literal["auto", "32-true", "bf16-mixed"] = Field(
        "auto",
        description="Arithmetic of matrix products in training; auto: bfloat16 where the machine has instructions "
        "for it and the model gains by it.",
    )
    seed: int = Field(0, ge=0, description="Seed of the initial weights and of every draw in training.")
