"""What the data of a retraining must be like."""

from training.sections import Section


class DataCareConfig(Section):
    """What the data of a retraining must be like."""
