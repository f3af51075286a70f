"""The random view of a row of features: some are hidden (Lee et al., ICLR 2021, section 4.4)."""

import torch
from torch import Tensor


def mask_features(rows: Tensor, share: float = 0.2, columns: Tensor | None = None) -> Tensor:
    """Rows [B, F] with each feature set to 0 with probability ``share``; what stays is not scaled up.

    0 is the mean of a standardised feature, so a hidden one looks like an ordinary one. The draws come from PyTorch's
    generator of the CPU.

    Args:
        rows: [B, F], standardised.
        share: probability of hiding a feature.
        columns: bool [F], the features that may be hidden; all when empty. (The paper hides the continuous columns of
            CovType and leaves the indicators.)
    """
    hidden = torch.rand(rows.shape) < share
    if columns is not None:
        hidden &= columns.cpu()
    return rows.masked_fill(hidden.to(rows.device), 0)
