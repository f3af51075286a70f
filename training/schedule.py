"""Learning rates over a training."""

import math
from collections.abc import Sequence

from recsvc.models.progress import Progress
from training.sections import LoopConfig


def cosine_after_warmup(config: LoopConfig, progress: Progress) -> float:
    """Linear warm-up in steps, times a cosine over the share of all epochs that is done."""
    warm = min(1.0, (progress.step + 1) / max(1, config.warmup_steps))
    done = progress.epoch / config.epochs
    cosine = config.final_share + (1 - config.final_share) * 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * warm * cosine


def cosine_share(step: int, steps: int, warmup: int, final: float = 0.0) -> float:
    """Share of the peak in a step: linear over ``warmup`` steps, then half a cosine over the others down to ``final``.

    ``1/2 (1 + cos(pi (s - s_w) / (S - s_w)))`` of SimCLR's code; the first step of a warm-up has 1/s_w of the peak.
    """
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def stepped_share(step: int, steps: int, warmup: int, milestones: Sequence[float], factor: float = 0.1) -> float:
    """Share of the peak in a step: linear over ``warmup`` steps, then times ``factor`` at each share of all steps."""
    if step < warmup:
        return (step + 1) / warmup
    passed = sum(step >= milestone * steps for milestone in milestones)
    return float(factor**passed)
