"""Distillation on unlabelled pictures (SimCLR v2: Chen et al., NeurIPS 2020, Eq. 2 and 3).

::

    L_d = - mean_x sum_y P_T(y | x; t) log P_S(y | x; t)      P(y | x; t) = softmax(logits / t)
    L   = (1 - a) CE(labelled) + a L_d(all)

The teacher T does not learn. Its whole distribution is the target; taking only its first choice is pseudo-labelling,
another method, which is here to be compared with.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float, *, hard: bool = False) -> Tensor:
    """L_d of logits [B, C] of the student and of the teacher, the mean over the pictures.

    Args:
        student: logits of the student.
        teacher: logits of the teacher on the same crops; no gradient reaches them.
        temperature: t, of both.
        hard: whether the target is the teacher's first choice alone; the temperature is then the student's.
    """
    with torch.autocast(student.device.type, enabled=False):
        student, teacher = student.float() / temperature, teacher.detach().float() / temperature
        return F.cross_entropy(student, teacher.argmax(1) if hard else teacher.softmax(1))


def distillation_with_labels(
    student: Tensor, teacher: Tensor, labels: Tensor, *, weight: float, temperature: float, hard: bool = False
) -> Tensor:
    """L of a batch of which some pictures have a label.

    Args:
        student: logits [B, C].
        teacher: logits [B, C].
        labels: int64 [B], -1 where a picture has none.
        weight: a, the share of the distillation; 1 leaves the labels out.
        temperature: t.
        hard: as in :func:`distillation_loss`.
    """
    loss = weight * distillation_loss(student, teacher, temperature, hard=hard)
    labelled = labels >= 0
    if weight < 1 and bool(labelled.any()):
        loss = loss + (1 - weight) * F.cross_entropy(student.float()[labelled], labels[labelled])
    return loss
