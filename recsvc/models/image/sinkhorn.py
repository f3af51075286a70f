"""Codes of SwAV by the iteration of Sinkhorn and Knopp: soft assignments that use all prototypes equally.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020, Eq. 3-5: of
all Q [K, B] whose rows sum to 1/K and whose columns sum to 1/B the one that maximises
``Tr(Q^T C^T Z) + epsilon H(Q)`` is ``Diag(u) exp(C^T Z / epsilon) Diag(v)``. The authors' code scales the rows and
columns of Q in turn; here u and v are found by two products of a matrix and a vector an iteration, and Q is scaled by
them once in the end. K, B and the first division by the whole sum cancel. Columns come last, so each code sums to one,
while the marginals of the prototypes are only near B/K after few iterations.
"""

import torch
from torch import Tensor
from torch.distributed import ReduceOp

from recsvc.models.image.parallel import over_processes
from recsvc.models.image.projections import wide

# exp(-2 / epsilon), the ratio of the least to the largest entry for cosines, must stay above float32's least, e^-87.
_LEAST_LINEAR_EPSILON = 0.03


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int = 3) -> Tensor:
    """Codes [B, K] of samples, each a distribution over the prototypes, without a gradient.

    In float32 or wider. Of several processes each brings its own samples, any number, and gets their codes; prototypes
    are balanced over the samples of all.

    Args:
        scores: cosines of B samples and K prototypes.
        epsilon: weight of the entropy; below 0.03 the iteration runs on logarithms, which takes longer.
        iterations: 3 in the paper.
    """
    with torch.autocast(scores.device.type, enabled=False):
        scores = wide(scores)
        if epsilon < _LEAST_LINEAR_EPSILON:
            return _by_logarithms(scores, epsilon, iterations)
        # The largest entry of all becomes 1, which changes no code and keeps exp() finite.
        largest = over_processes(scores.amax(), ReduceOp.MAX)
        q = (scores - largest).div_(epsilon).exp_()
        v = q.new_ones(len(q))
        for _ in range(iterations):
            u = over_processes(v @ q).reciprocal_()
            v = (q @ u).reciprocal_()
        return q.mul_(u).mul_(v.unsqueeze(1))


def _by_logarithms(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    logits = scores / epsilon
    log_v = logits.new_zeros(len(logits), 1)
    for _ in range(iterations):
        terms = logits + log_v
        largest = over_processes(terms.amax(dim=0), ReduceOp.MAX)
        log_u = -largest - over_processes((terms - largest).exp().sum(dim=0)).log()
        log_v = -torch.logsumexp(logits + log_u, dim=1, keepdim=True)
    return (logits + log_u + log_v).exp()
