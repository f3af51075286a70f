"""When a challenger replaces the champion."""

from training.sections import Section


class GateConfig(Section):
    """When a challenger replaces the champion."""
