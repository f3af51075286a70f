"""What every self-supervised method has: an encoder f that is kept, and a loss on random views of the same pictures.

A method is one module, so that one ``state_dict()`` holds all that the next step depends on: weights, moving averages,
queues with their pointers, prototypes. It knows neither configuration nor training loop; the loop calls
:meth:`Method.before_update` and :meth:`Method.after_update` around the optimiser.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from recsvc.models.image.layout import channels_last
from recsvc.models.progress import Progress


class Encoder(nn.Module):
    """The encoder f, which is what a release serves."""

    def __init__(self, backbone: nn.Module, dim: int) -> None:
        """``backbone`` gives features h [B, dim]; of pictures, or of anything else whose views can be made."""
        super().__init__()
        self.backbone = backbone
        self.dim = dim

    def features(self, pictures: Tensor) -> Tensor:
        """Vectors of length 1 [B, d] of normalised pictures [B, 3, S, S]: what is served."""
        return F.normalize(self.backbone(channels_last(pictures)).float(), dim=1)


class Method(Encoder, ABC):
    """The encoder f and what it is trained through."""

    @abstractmethod
    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """The loss, a mean over the pictures of this process; negatives are those of all processes.

        Args:
            views: normalised pictures [B, 3, S, S], one tensor a view and the same picture in the same row of each; two
                full crops first, then what small crops a method asks for, [B, 3, s, s].
        """

    def before_update(self, progress: Progress) -> None:
        """Called between the backward pass and the optimiser's step."""

    def after_update(self, progress: Progress) -> None:
        """Called after the optimiser's step."""

    def stuck_loss(self, pictures: int) -> float | None:
        """The loss of a batch of so many pictures in all processes whose features are all equal; None if nothing tells.

        A training whose loss stands there has collapsed, or has not begun.
        """
        return None

    def diagnostics(self) -> dict[str, float]:
        """Figures of the last forward by name, for the log."""
        return {}
