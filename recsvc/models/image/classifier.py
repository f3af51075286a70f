"""A classifier on an encoder, cut out of a method anywhere in its projector (SimCLR v2: Chen et al., NeurIPS 2020, 2).

SimCLR v2 fine-tunes from a middle layer of the projector: the encoder f, the first layer of the head with its norm and
its ReLU, and on top a linear classifier that starts at zero. (The authors' ``ft_proj_selector``: 0 is h, -1 is z.)
"""

import copy

from torch import Tensor, nn

from recsvc.models.image.heads import Head
from recsvc.models.image.layout import channels_last
from recsvc.models.image.method import Encoder, Method


class Classifier(Encoder):
    """The encoder f, what is kept of a head, and a linear layer: pictures [B, 3, S, S] -> logits [B, C]."""

    def __init__(self, backbone: nn.Module, dim: int, classes: int, trunk: nn.Module | None = None) -> None:
        """``trunk`` [B, dim] -> [B, d']; the features themselves if None."""
        super().__init__(backbone, dim)
        self.trunk = trunk or nn.Identity()
        width = _width(self.trunk) or dim
        self.output = nn.Linear(width, classes)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits [B, C] of normalised pictures."""
        logits: Tensor = self.output(self.trunk(self.backbone(channels_last(pictures))))
        return logits


def fine_tuned(method: Method, classes: int, layer: int) -> Classifier:
    """A classifier that starts from a method's weights; the method keeps its own.

    Args:
        method: trained.
        classes: C.
        layer: layers of the projector to keep, each with its norm and its ReLU: 0 none, -1 the whole of it.

    Raises:
        ValueError: the method has no such layer.
    """
    trunk = None
    if layer != 0:
        head = getattr(method, "projector", None)
        if not isinstance(head, Head) or layer < -1 or layer > len(head.blocks):
            kept = len(head.blocks) if isinstance(head, Head) else 0
            raise ValueError(f"the projector has {kept} hidden layers; keep 0 to {kept} of them, or -1 for all")
        trunk = copy.deepcopy(head if layer == -1 else nn.Sequential(*head.blocks[:layer]))
    return Classifier(copy.deepcopy(method.backbone), method.dim, classes, trunk)


def _width(trunk: nn.Module) -> int | None:
    linear = [module for module in trunk.modules() if isinstance(module, nn.Linear)]
    return linear[-1].out_features if linear else None
