"""Mixed inputs and mixed virtual labels: MixUp and CutMix as i-Mix takes them, and InputMix.

i-Mix (Lee et al., "i-Mix: A Domain-Agnostic Strategy for Contrastive Representation Learning", ICLR 2021, Eq. 4 and 5)
calls row i of a batch of N the class i. Each row is blended with a partner, ``x_i <- l_i x_i + (1 - l_i) x_pi(i)``, and
its label is blended alike, so the loss is ``l_i loss(x_i, i) + (1 - l_i) loss(x_i, pi(i))``. The share l_i is
max(l, 1 - l) of l ~ Beta(alpha, alpha), which keeps a row its own label's most, and pi is one permutation of the batch.
CutMix (Yun et al., ICCV 2019) pastes a rectangle of the partner in place of blending. InputMix (the same paper,
section 3.4) blends inputs and leaves labels alone: noise that any kind of data has.

Inputs are [B, ...] of any shape, CutMix's [B, C, H, W]. All draws come from PyTorch's generator of the CPU, so that a
seed gives the same on every device.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Beta, Dirichlet


class Mix(NamedTuple):
    """Who is mixed with whom, and how much of each label is the row's own."""

    shares: Tensor
    """l_i, float32 [N] in [1/2, 1]."""
    partners: Tensor
    """pi(i), int64 [N]."""


class Box(NamedTuple):
    """A rectangle of pixels, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int


class Blend(NamedTuple):
    """Whose inputs InputMix adds to a row's, with which weights."""

    weights: Tensor
    """Of the row itself and its partners, float32 [M, 1 + P]; the first is at least 1/2, each row sums to 1."""
    partners: Tensor
    """int64 [M, P]."""


def draw_mix(count: int, alpha: float) -> Mix:
    """A share for each of ``count`` rows and one permutation; ``alpha`` is Beta's and above 0."""
    shares = Beta(alpha, alpha).sample((count,))
    return Mix(torch.maximum(shares, 1 - shares), torch.randperm(count))


def mixup(inputs: Tensor, mix: Mix) -> Tensor:
    """``l_i x_i + (1 - l_i) x_pi(i)``; with all shares 1 the inputs, bit for bit."""
    shares = _by_row(mix.shares, inputs)
    return torch.lerp(inputs[mix.partners.to(inputs.device)], inputs, shares)


def draw_cut(count: int, size: tuple[int, int], alpha: float) -> tuple[Box, Mix]:
    """CutMix's rectangle, one for the batch, and the shares that it leaves.

    Its sides are sqrt(1 - l) of the picture's, rounded down to even pixels about a centre drawn in the picture, and it
    ends where the picture ends; the share is that of the pixels which stay.
    """
    drawn = float(draw_mix(1, alpha).shares)
    cut = (1 - drawn) ** 0.5
    (top, bottom), (left, right) = (_span(side, int(side * cut)) for side in size)
    share = 1 - (bottom - top) * (right - left) / (size[0] * size[1])
    return Box(top, bottom, left, right), Mix(torch.full((count,), share), torch.randperm(count))


def cutmix(pictures: Tensor, box: Box, partners: Tensor) -> Tensor:
    """Pictures [B, C, H, W] with the rectangle of each one's partner in place of their own."""
    top, bottom, left, right = box
    mixed = pictures.clone()
    mixed[..., top:bottom, left:right] = pictures[partners.to(pictures.device)][..., top:bottom, left:right]
    return mixed


def draw_blend(count: int, partners: int) -> Blend:
    """InputMix with one partner: shares of Beta(1, 1), the larger its own; with more: half of it and half drawn evenly.

    The half that is drawn is split by Dirichlet(1, ..., 1) between the row and its partners.
    """
    others = torch.stack([torch.randperm(count) for _ in range(partners)], dim=1)
    if partners == 1:
        shares = draw_mix(count, 1.0).shares
        return Blend(torch.stack([shares, 1 - shares], dim=1), others)
    weights = Dirichlet(torch.ones(1 + partners)).sample((count,)) / 2
    weights[:, 0] += 0.5
    return Blend(weights, others)


def input_mix(inputs: Tensor, blend: Blend) -> Tensor:
    """``w_0 x_i + w_1 x_p1(i) + ...`` of inputs [M, ...]: both views of a batch, one below the other."""
    partners = blend.partners.to(inputs.device)
    mixed = inputs * _by_row(blend.weights[:, 0], inputs)
    for p in range(partners.shape[1]):
        mixed = mixed.addcmul(inputs[partners[:, p]], _by_row(blend.weights[:, p + 1], inputs))
    return mixed


def mixed_mean(own: Tensor, partner: Tensor, mix: Mix) -> Tensor:
    """The mean of ``l_i own_i + (1 - l_i) partner_i``, of values [N] for the row's own label and its partner's."""
    return torch.lerp(partner, own, mix.shares.to(own)).mean()


def label_loss(logits: Tensor, mix: Mix | None = None, first: int = 0) -> Tensor:
    """Cross-entropy of logits [N, C] against virtual labels, mixed or plain; a scalar.

    Args:
        logits: column ``first + i`` is the class of row i.
        mix: how the rows were mixed; None means that they were not.
        first: the class of row 0, where the classes of other processes stand before it.
    """
    rows = torch.arange(len(logits), device=logits.device)
    losses = -torch.log_softmax(logits, dim=1)
    own = losses[rows, rows + first]
    if mix is None:
        return own.mean()
    return mixed_mean(own, losses[rows, mix.partners.to(rows.device) + first], mix)


def _by_row(values: Tensor, inputs: Tensor) -> Tensor:
    return values.to(inputs).view(-1, *[1] * (inputs.ndim - 1))


def _span(side: int, length: int) -> tuple[int, int]:
    centre = int(torch.randint(side, ()))
    return max(centre - length // 2, 0), min(centre + length // 2, side)
