"""The `retrain.gate` section: how much worse than the champion a challenger may be, space by space."""

from pydantic import Field

from training.sections import Section


class GateConfig(Section):
    """Limits of the comparison of a challenger with the champion; both are judged as they are served."""

    users: int = Field(2000, ge=2, description="Users, at most, whose held-out items both releases are asked for.")
    max_drop: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the champion's NDCG@10 that the challenger may lose. A loss beyond chance is refused "
        "however small; with few users chance alone moves the figure by 5 % and more.",
    )
    chance: float = Field(
        0.1,
        gt=0,
        lt=0.5,
        description="Probability with which a loss of NDCG@10 as large as the one seen comes of chance alone, below "
        "which it is beyond chance: so often a challenger that is as good is refused, and tried again.",
    )
    min_over_popularity: float = Field(
        1.0,
        ge=0,
        description="NDCG@10 of the challenger as a multiple of that of the most popular items, at least; 0 = off.",
    )
    min_coverage_ratio: float = Field(
        0.7, ge=0, description="Coverage of the lists of ten as a share of the champion's, at least."
    )
    popular_share: float = Field(
        0.01, gt=0, lt=1, description="Share of the items, the most popular first, that count as popular."
    )
    max_popular_rise: float = Field(
        0.1, ge=0, le=1, description="By how much the popular items' share of the places in the lists may rise."
    )
    short_history: int = Field(10, ge=2, description="Histories of fewer events are a slice of their own.")
    slice_users: int = Field(50, ge=2, description="Users that a slice must have to be judged.")
    slice_max_drop: float = Field(
        0.15,
        ge=0,
        le=1,
        description="Share of the champion's NDCG@10 that a slice of the users may lose; more is refused if it is "
        "beyond chance.",
    )
    min_champion_ratio: float = Field(
        0.25,
        ge=0,
        le=1,
        description="How well the champion tells new events from those of other users, as a share of how well it told "
        "its own held-out ones, at least; below, the new events are unlike anything it knows. 0 = off.",
    )
    refuse_reversed: bool = Field(
        True,
        description="Whether new events that the champion reads better backwards than forwards, beyond chance, are "
        "refused.",
    )
    new_users: int = Field(
        20, ge=2, description="Users with new events that it takes to judge new events by what the champion says."
    )
    links: int = Field(2000, ge=2, description="Links of each relation, at most, that both graph spaces are asked for.")
    max_auc_drop: float = Field(
        0.02, ge=0, le=1, description="AUC that links may lose; more is refused if it is beyond chance."
    )
    max_lost: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Share of the things with a vector in the champion's graph, image or own space that may have none "
        "in the challenger's.",
    )
    pictures: int = Field(400, ge=2, description="Pictures, at most, that both picture encoders read.")
    max_view_drop: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of the pictures (0.05 = 5 of 100) that may no longer find their own view or a picture of "
        "their label; more is refused if it is beyond chance.",
    )
    min_spread: float = Field(
        0.05,
        ge=0,
        description="Spread of the vectors of a graph or image space, at least; 1 = even, 0 = all are one.",
    )
    min_rank_ratio: float = Field(
        0.5, ge=0, le=1, description="Effective rank of the vectors as a share of the champion's, at least."
    )
    parity: float = Field(
        1e-3,
        gt=0,
        description="Largest difference between exported and trained: of scores as a share of the largest, of unit "
        "vectors by entry.",
    )
    min_recall: float = Field(
        0.9, ge=0, le=1, description="Share of the exact ten nearest that an approximate index finds, at least."
    )
    max_latency_ratio: float = Field(
        3.0, ge=1, description="Median time of an answer as a multiple of the champion's, at most."
    )
    latency_floor_ms: float = Field(
        20.0, ge=0, description="Milliseconds; an answer that takes less is quick enough, whatever the champion takes."
    )
    max_size_ratio: float = Field(
        3.0,
        ge=1,
        description="Size of the files of the spaces that both have, as a multiple of the champion's, at most.",
    )
    lose_spaces: bool = Field(False, description="Whether the challenger may lack a space that the champion has.")
