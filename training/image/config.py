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
from training.image.loop_config import ImageLoop
from training.image.supervised_config import DistilConfig, FineTuneConfig
from training.sections import Section

MethodName = Literal["pair", "simclr", "moco", "byol", "swav", "i-mix"]


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
    fine_tune: FineTuneConfig | None = Field(
        None, description="Train on labels afterwards, as SimCLR v2 does; the encoder that is served is then this one."
    )
    distil: DistilConfig | None = Field(
        None, description="Train a student on what the fine-tuned network says; it is then the one that is served."
    )
    evaluation: ImageEvaluation = Field(default_factory=ImageEvaluation, description="How the vectors are judged.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.distil is not None and self.fine_tune is None:
            raise ValueError("distil: a student needs a teacher, which knows labels; give image.fine_tune too")
        if self.method != "swav" and self.views.view_set().small_count:
            raise ValueError(
                f"views.small_count: the method {self.method!r} compares two views of a picture; only swav takes small "
                "ones, so set it to 0 or choose another views.preset"
            )
        return self
