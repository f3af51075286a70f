"""NT-Xent, the contrastive loss of SimCLR (Chen et al., ICML 2020, Eq. 1 and Algorithm 1).

``l(i, j) = -log(exp(cos(z_i, z_j) / t) / sum over k != i of exp(cos(z_i, z_k) / t))`` for the two views i, j of a
picture, k over the other 2N - 1 views of the batch; L is its mean over all 2N views. (The authors' code returns twice
this L: learning rates tuned on one do not carry over to the other.)
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from recsvc.models.image.parallel import gather, own_rows
from recsvc.models.image.projections import unit


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The loss L of N pairs of projections, in float32 or wider.

    With all projections equal it is ln(2N - 1), which is also what a collapsed encoder shows. Of several processes each
    gets the mean over its own 2N views, with the views of all as negatives.

    Args:
        first: [N, D], the projections z of one view of each picture.
        second: [N, D], those of the other view.
        temperature: t.
    """
    N = len(first)
    with torch.autocast(first.device.type, enabled=False):
        first, second = unit(first), unit(second)
        everyone = torch.cat([gather(first), gather(second)])
        logits = torch.cat([first, second]) @ everyone.T / temperature
        rows = torch.arange(N, device=first.device) + own_rows(N)
        own, other = torch.cat([rows, rows + len(everyone) // 2]), torch.cat([rows + len(everyone) // 2, rows])
        logits = logits.scatter(1, own.unsqueeze(1), -torch.inf)
        return F.cross_entropy(logits, other)
