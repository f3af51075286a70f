"""The `image.evaluation` section: how vectors of pictures are judged; training never reads it."""

from typing import Literal

from pydantic import Field

from training.sections import Section


class ImageEvaluation(Section):
    """By what, and in which numbers, the pictures are judged."""

    attribute: str | None = Field(
        None, description="Attribute of the items that stands for a label, such as genres; the label when empty."
    )
    relevance: Literal["any", "same"] = Field(
        "any", description="What makes two pictures alike where they have several labels: any in common, or all."
    )
    neighbours: tuple[int, ...] = Field(
        (20, 200), min_length=1, description="The k of kNN accuracy; those above the number of pictures are left out."
    )
    temperature: float = Field(0.1, gt=0, description="Temperature t of kNN: a neighbour votes with exp(cosine / t).")
    cutoffs: tuple[int, ...] = Field((1, 10), min_length=1, description="The k of precision, hit rate and recall.")
    probe: bool = Field(True, description="Whether a linear classifier is trained on the frozen vectors.")
    label_shares: tuple[float, ...] = Field(
        (0.01, 0.1), description="Shares of the labels with which it is trained too, as many of each class."
    )
    resamples: int = Field(2000, ge=100, description="Resamples of the bootstrap over queries.")
    seed: int = Field(0, ge=0, description="Seed of the queries drawn, of the lists of labels and of the bootstrap.")
