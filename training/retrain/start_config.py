"""From which weights a training begins."""

from training.sections import Section


class StartConfig(Section):
    """From which weights a training begins."""
