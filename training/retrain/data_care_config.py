"""What the data of a retraining must be like: retention, and from where on new data are refused.

Limits are for windows of events, days by default. A window is refused if it lies beyond the limit and is also worse, by
the factor `margin`, than nearly all of the champion's own windows. So a shop in which one item takes half the clicks
every day is not refused for it, and another one is on the day on which that begins.
"""

from pydantic import Field

from training.sections import Section


class DataCareConfig(Section):
    """What the data of a retraining must be like."""

    keep_days: float | None = Field(
        None,
        gt=0,
        description="Retention: events older than so many days before the newest one stay out of the snapshot; no "
        "limit when empty.",
    )
    window_hours: float = Field(24.0, gt=0, description="Hours of a window, the stretch of events that is judged.")
    windows: int = Field(60, ge=2, description="Newest windows that are looked at, those to compare with included.")
    min_events: int = Field(200, ge=1, description="Events below which a window says too little to be judged.")
    margin: float = Field(
        1.5, ge=1, description="Factor by which a window must be worse than the worst earlier one to be refused."
    )
    max_lost_share: float = Field(
        0.2, ge=0, le=1, description="Largest share of the champion's events that may be gone from its time."
    )
    max_shrink: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Largest share by which events, users or listed items may have become fewer in all.",
    )
    max_late_share: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Largest share of the new events with times from long before the champion's newest.",
    )
    late_hours: float = Field(48.0, ge=0, description="Hours by which an event may be late without being counted.")
    max_ahead_hours: float = Field(1.0, ge=0, description="Hours that the time of an event may be ahead of the clock.")
    max_silence_days: float = Field(
        30.0, gt=0, description="Longest silence, in days, after which events may go on; longer means wrong clocks."
    )
    min_volume: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Smallest volume of the newest window, as a share of an ordinary one (the median).",
    )
    max_volume: float = Field(
        20.0, gt=1, description="Largest volume of a window, as a multiple of the largest of the earlier ones."
    )
    max_instant_share: float = Field(
        0.2, ge=0, le=1, description="Largest share of a window's events with one and the same time."
    )
    max_new_items: float = Field(
        0.5, ge=0, le=1, description="Largest share of a window's events on items that nothing knew before."
    )
    max_new_users: float = Field(
        0.8, ge=0, le=1, description="Share of a window's users that were not there before, beyond which it is told."
    )
    max_item_share: float = Field(0.2, ge=0, le=1, description="Largest share of a window's events on one item.")
    max_user_share: float = Field(0.5, ge=0, le=1, description="Largest share of a window's events by one user.")
    max_events_per_user: float = Field(
        5.0, gt=0, description="Largest number of events of a user in a window, on average."
    )
    human_events: int = Field(
        5000, ge=1, description="Events of one user in a window (scaled to 24 hours) that no human is capable of."
    )
    max_minute_events: int = Field(120, ge=1, description="Events of one user in one minute beyond which it is told.")
    max_twin_share: float = Field(
        0.2, ge=0, le=1, description="Largest share of a window's events by users who all did the same as many others."
    )
    max_echo_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Largest share of a window's events that repeat others at one and the same distance.",
    )
    max_repeat_share: float = Field(
        0.5, ge=0, le=1, description="Largest share of a window's events that were there before, but for their time."
    )
    max_popularity_shift: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Largest divergence (Jensen-Shannon, bits, less what chance gives) of what is popular from before.",
    )
    max_category_shift: float = Field(
        0.2, ge=0, le=1, description="Largest divergence, likewise, of the shares of an attribute's values."
    )
    max_kind_shift: float = Field(0.2, ge=0, le=1, description="Largest divergence, likewise, of the kinds of event.")
    min_order: float = Field(
        0.5,
        le=1,
        description="Smallest sense in the order of events: the logarithm of how far successive items are above "
        "chance, as a share of the least of the earlier windows.",
    )
    min_forward: float = Field(
        0.0, le=1, description="Smallest direction in the order of events, likewise; below 0 the order is reversed."
    )
    min_known_items: float = Field(
        0.5, ge=0, le=1, description="Smallest share of the champion's most popular items that must still be there."
    )
