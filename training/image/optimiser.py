"""Optimisers and learning rates of the image methods: AdamW, SGD and LARS as the papers use them."""

from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from recsvc.models.image.classifier import Classifier
from recsvc.models.progress import Progress
from training.image.loop_config import ImageLoop
from training.lars import LARS
from training.schedule import cosine_share, stepped_share

_REFERENCE_BATCH = 256


def make_image_optimiser(model: nn.Module, config: ImageLoop) -> Optimizer:
    """The optimiser of a method; norms, biases and a classifier have no adaptation by LARS, and no weight decay.

    With ``decay_all`` they have the same weight decay as all else.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    apart = {id(p) for p in trained if p.ndim <= 1}
    if isinstance(model, Classifier):
        apart |= {id(p) for p in model.output.parameters()}
    plain: dict[str, Any] = {"params": [p for p in trained if id(p) in apart], "weight_decay": 0.0}
    if config.decay_all:
        plain["weight_decay"] = config.weight_decay
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if id(p) not in apart], "weight_decay": config.weight_decay},
        plain,
    ]
    if config.optimiser == "adamw":
        return AdamW(groups, lr=config.learning_rate, fused=True)
    if config.optimiser == "sgd":
        return SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    plain["adapt"] = False
    return LARS(
        groups,
        lr=config.learning_rate,
        momentum=config.momentum,
        trust=config.trust,
        clip=config.trust_clip,
    )


def image_learning_rate(loop: ImageLoop, batch_size: int, progress: Progress) -> float:
    """The rate of a step: scaled by the batch, warmed up in steps or epochs, then along the schedule."""
    peak = loop.learning_rate
    if loop.scaling == "linear":
        peak *= batch_size / _REFERENCE_BATCH
    elif loop.scaling == "sqrt":
        peak *= batch_size**0.5
    warmup = max(loop.warmup_steps, round(loop.warmup_epochs * progress.steps / loop.epochs))
    if loop.schedule == "cosine":
        return peak * cosine_share(progress.step, progress.steps, warmup, loop.final_share)
    milestones = loop.milestones if loop.schedule == "steps" else ()
    return peak * stepped_share(progress.step, progress.steps, warmup, milestones)
