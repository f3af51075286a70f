"""The `image.fine_tune` and `image.distil` sections: what labels teach after self-supervised training (SimCLR v2)."""

from typing import Literal

from pydantic import Field

from recsvc.models.image.config import EncoderConfig
from recsvc.models.image.view_presets import ViewsConfig
from training.image.loop_config import ImageLoop
from training.sections import Section


def _crop_and_flip() -> ViewsConfig:
    return ViewsConfig.model_validate({"jitter": 0.0, "grey": 0.0, "blur": 0.0, "crop_area": (0.08, 1.0)})


class LabelLoop(ImageLoop):
    """The shared loop with the defaults of learning from few labels: gentler, and without weight decay."""

    epochs: int = Field(30, ge=1, description="Passes over the labelled pictures.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate, before it is scaled by the batch.")
    warmup_steps: int = Field(0, ge=0, description="Steps of linear warm-up at least.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay; not on biases, norms and the classifier.")
    evaluate_every: int = Field(10, ge=1, description="Epochs between two validations.")


class FineTuneConfig(Section):
    """A classifier out of the encoder and a part of its projector, trained on labels."""

    share: float = Field(1.0, gt=0, le=1, description="Share of the training labels that are used, the same of each.")
    seed: int = Field(0, ge=0, description="Seed of which labels these are.")
    layer: int = Field(
        1, ge=-1, description="Layers of the projector that are kept: 1 as in SimCLR v2, 0 none, -1 the whole of it."
    )
    batch_size: int = Field(128, ge=2, description="Pictures in a batch, about.")
    views: ViewsConfig = Field(default_factory=_crop_and_flip, description="Random views; crop and flip.")
    loop: LabelLoop = Field(default_factory=LabelLoop, description="Optimisation and schedule.")


class DistilConfig(Section):
    """A student that learns what the fine-tuned network says of pictures without labels."""

    model: EncoderConfig | None = Field(None, description="The student's encoder; one like the teacher's when empty.")
    temperature: float = Field(1.0, gt=0, description="Temperature of both distributions.")
    target: Literal["soft", "hard"] = Field(
        "soft", description="The teacher's whole distribution, or its first choice alone (pseudo-labels)."
    )
    weight: float = Field(
        1.0, ge=0, le=1, description="Weight a of the distillation; the labels have 1 - a. 1 leaves the labels out."
    )
    batch_size: int = Field(128, ge=2, description="Pictures in a batch, about.")
    views: ViewsConfig = Field(default_factory=_crop_and_flip, description="Random views, the same for both networks.")
    loop: ImageLoop = Field(default_factory=ImageLoop, description="Optimisation and schedule.")
