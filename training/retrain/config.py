"""The section `retrain` of the configuration: what a retraining does besides training. It decides nothing of a run."""

from pydantic import Field

from training.retrain.data_care_config import DataCareConfig
from training.retrain.gate_config import GateConfig
from training.retrain.start_config import StartConfig
from training.sections import Section


class RetrainConfig(Section):
    """What `recsvc retrain` does before, between and after training."""

    data: DataCareConfig = Field(default_factory=DataCareConfig, description="Which data are good enough to learn.")
    start: StartConfig = Field(default_factory=StartConfig, description="From which weights a training begins.")
    gate: GateConfig = Field(default_factory=GateConfig, description="When a challenger replaces the champion.")
    holdout_share: float = Field(
        0.2,
        gt=0,
        le=1,
        description="Share of the users, the same in every retraining, whose newest event is held out to judge by; "
        "it takes the place of split.test_share.",
    )
    keep_attempts: int = Field(
        1, ge=1, description="Newest finished attempts that are kept, besides the one that the champion came from."
    )
    keep_releases: int = Field(
        5, ge=1, description="Newest releases that are kept, besides the active one and the one before it."
    )
