"""The N-pair loss in one direction, i-Mix's form of SimCLR (Sohn, NeurIPS 2016; Lee et al., ICLR 2021, Eq. 3).

``l(i) = -log(exp(cos(q_i, k_i) / t) / sum over n of exp(cos(q_i, k_n) / t))``, q_i the projection of one view of a
picture and k_n those of the other views of all N. NT-Xent's classes differ from row to row, since a view is no negative
of its own; here they are the N pictures for every row, so that labels can be mixed. Both views train the encoder.
"""

import torch
from torch import Tensor

from recsvc.models.image.mixing import Mix, label_loss
from recsvc.models.image.parallel import gather, own_rows
from recsvc.models.image.projections import unit


def n_pair(queries: Tensor, keys: Tensor, temperature: float, mix: Mix | None = None) -> Tensor:
    """The loss of N pairs of projections, in float32 or wider; a scalar, ln N when all projections are equal.

    Of several processes each gets the mean over its own N queries, with the keys of all.

    Args:
        queries: [N, D], projections of one view, whose inputs may have been mixed.
        keys: [N, D], projections of the other view.
        temperature: t.
        mix: how the queries' inputs were mixed; None means that they were not.
    """
    with torch.autocast(queries.device.type, enabled=False):
        logits = unit(queries) @ gather(unit(keys)).T / temperature
        return label_loss(logits, mix, own_rows(len(queries)))
