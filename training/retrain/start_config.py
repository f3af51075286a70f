"""From which weights a training begins."""

from pydantic import Field

from training.sections import Section


class StartConfig(Section):
    """When a retraining goes on from the champion's weights, and how long it then trains."""

    warm_epochs: int = Field(
        3, ge=1, description="Passes of a warm training of `behaviour`, where a cold one has sequence.loop.epochs."
    )
    warm_image_epochs: int = Field(
        5, ge=1, description="Passes of a warm training of `image`, where a cold one has image.loop.epochs."
    )
    warm_rate: float = Field(
        0.5, gt=0, le=1, description="Peak learning rate of a warm training, as a share of that of a cold one."
    )
    warm_steps: int = Field(50, ge=0, description="Steps of linear warm-up of a warm training at most.")
    max_new_items: float = Field(
        0.2, ge=0, le=1, description="Share of the items that the champion does not know, above which all begins cold."
    )
    max_growth: float = Field(
        0.5, ge=0, description="Growth of the training interactions, as a share of before, above which all begins cold."
    )
    max_lost_users: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of the champion's users who are no longer in the data, above which all begins cold: weights "
        "remember a little of whom they have learnt from.",
    )
    max_in_a_row: int = Field(
        6, ge=0, description="Warm trainings one after the other, after which one begins cold; 0 = always cold."
    )
    max_new_pictures: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of the pictures that the champion's encoder has not learnt from, up to which it is kept.",
    )
