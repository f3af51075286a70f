"""Settings of the `behaviour` space and of how next-item predictions are judged; `training.config` joins them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recsvc.models.sequence.config import SequenceModelConfig
from training.sections import LoopConfig, Section


class SequenceTraining(Section):
    """How interaction sequences become training rows."""

    tokens_per_batch: int = Field(
        1600, ge=2, description="Real tokens in a batch, about; small batches converge in fewer passes."
    )
    mask_share: float = Field(0.2, gt=0, lt=1, description="Share of a row's items hidden (rho of the Cloze task).")
    last_share: float = Field(0.0, ge=0, le=1, description="Share of rows in which only the last item is hidden.")
    next_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of rows in which items predict the next; the rest are Cloze rows.",
    )
    prefix_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="With bidirectional attention, share of these rows of which a random number of the oldest items is "
        "read both ways; the others are causal.",
    )
    prefix_from: float = Field(
        0.75,
        ge=0,
        le=1,
        description="Share of the training before which no row has such a prefix: causal rows teach faster, and what "
        "they teach is soon read both ways.",
    )
    window_step: float = Field(
        0.5, gt=0, le=1, description="Step between windows of a long history, as a share of max_length."
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.last_share + self.next_share > 1:
            raise ValueError("last_share and next_share are shares of the same rows: together at most 1")
        return self


class SequenceLoss(Section):
    """What a step of training minimises at its targets."""

    kind: Literal["auto", "softmax", "sampled", "gbce"] = Field(
        "auto",
        description="softmax: over all items; sampled: over the target and shared negatives; gbce: gSASRec's binary "
        "cross-entropy on them; auto: softmax, or sampled where the catalogue is so large that it is faster.",
    )
    negatives: int = Field(1024, ge=1, description="Items in the pool of negatives that a batch shares.")
    popular_share: float = Field(
        0.0, ge=0, le=1, description="Share of the pool drawn by popularity, the rest uniformly; needs log_q."
    )
    log_q: bool = Field(
        False, description="Weigh negatives by the inverse of their chance to be drawn, so as to estimate the softmax."
    )
    calibration: float = Field(0.75, ge=0, le=1, description="t of gbce: 0 = plain BCE, 1 = calibrated probabilities.")

    @model_validator(mode="after")
    def _popular_negatives_are_corrected(self) -> Self:
        if self.popular_share > 0 and (self.kind == "gbce" or not self.log_q):
            raise ValueError("popular_share > 0 is for kind auto or sampled with log_q: true")
        return self


class SequenceLoop(LoopConfig):
    """The shared loop with the defaults of sequence models."""

    epochs: int = Field(12, ge=1, description="Passes over the training interactions at most.")
    learning_rate: float = Field(3e-3, gt=0, description="Peak learning rate of AdamW.")
    evaluate_every: int = Field(1, ge=1, description="Epochs between two validations.")
    patience: int = Field(
        10,
        ge=1,
        description="Validations without a better metric before training stops; figures rise again as the rate decays.",
    )


class SequenceConfig(Section):
    """The `behaviour` space: a model of interaction sequences."""

    model: SequenceModelConfig = Field(default_factory=SequenceModelConfig, description="Architecture.")
    rows: SequenceTraining = Field(default_factory=SequenceTraining, description="Training rows.")
    loss: SequenceLoss = Field(default_factory=SequenceLoss, description="What training minimises.")
    loop: SequenceLoop = Field(default_factory=SequenceLoop, description="Optimisation and schedule.")

    @model_validator(mode="after")
    def _rows_fit_the_mask(self) -> Self:
        if self.model.question == "mask" and self.rows.next_share > 0:
            raise ValueError(
                "rows.next_share is for models in which the newest item asks: set it to 0 with question mask"
            )
        if self.model.question == "newest" and self.rows.last_share > 0:
            raise ValueError("rows.last_share is for models that ask with [MASK]: set it to 0 with question newest")
        if self.model.causal and self.rows.next_share < 1:
            raise ValueError("a causal model never sees [MASK]: set rows.next_share to 1, or take --preset causal")
        return self


class ItemKnnConfig(Section):
    """The item-kNN baseline; ``decay`` is the content baseline's too."""

    neighbours: int = Field(100, ge=1, description="Similar items kept per item; memory grows with it.")
    shrinkage: float = Field(
        10.0, ge=0, description="Added to the denominator of the cosine, so that few shared users mean little."
    )
    decay: float = Field(
        0.5, gt=0, le=1, description="Weight of an item of the history against the one after it; 1 = order is ignored."
    )


class EvaluationConfig(Section):
    """How next-item predictions are judged."""

    cutoffs: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 5, 10, 20), min_length=1, description="The k of HR@k, NDCG@k and MRR@k."
    )
    exclude_seen: bool = Field(
        True, description="Rank without the items of the history; switch off where people repeat themselves."
    )
    recent_days: float = Field(
        1.0, gt=0, description="Days before the end of training that recent popularity counts, where the log has times."
    )
    item_knn: ItemKnnConfig = Field(default_factory=ItemKnnConfig, description="The item-kNN baseline.")
    sampled_negatives: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Also rank each target among so many unseen items drawn by popularity (old papers: 100); 0 = off. "
        "Never choose a model by it.",
    )
