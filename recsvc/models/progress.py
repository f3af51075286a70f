"""Where a training stands, as what depends on time reads it: learning rates, momenta, what is frozen at first."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The place of one step in a training."""

    step: int
    """Steps done before this one."""
    steps: int
    """Steps of the whole training, if no early stop comes."""
    epoch: float
    """Epochs done before this step, with the fraction of the one under way."""
