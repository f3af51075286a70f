"""Vision transformer: torchvision's layers with a choice of pooling and with pictures of other sides.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, equations 1-4: ``z_0 = [x_cls; x_1 E; ...; x_N E] +
E_pos``, L pre-norm blocks, ``y = LN(z_L)``. At another resolution the patches' part of E_pos is interpolated, section
3.2; so the small crops of SwAV fit, and weights that were trained at another side.
"""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VisionTransformer


class ViT(nn.Module):
    """Patches of P x P pixels as tokens; parameters are named as in torchvision's ``VisionTransformer``."""

    def __init__(
        self, size: int, patch: int, width: int, layers: int, heads: int, pooling: Literal["cls", "mean"] = "cls"
    ) -> None:
        """Fresh weights.

        Args:
            size: side S of the pictures whose positions are learnt, in pixels.
            patch: side P of a patch, divides every picture's side.
            width: width D of the tokens and of the features.
            layers: number L of blocks.
            heads: attention heads of a block, divides D.
            pooling: the features are the [CLS] token, or the mean of the patches' tokens, after the last norm.

        Raises:
            ValueError: the patch does not divide the size.
        """
        super().__init__()
        if size % patch:
            raise ValueError(f"a patch of {patch} pixels does not divide the input's {size}")
        model = VisionTransformer(size, patch, layers, heads, width, mlp_dim=4 * width)
        self.side = size // patch
        self.pooling = pooling
        self.conv_proj: nn.Module = model.conv_proj
        self.class_token: nn.Parameter = model.class_token
        self.encoder: nn.Module = model.encoder

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, S', S'] -> features [B, D]; P divides S', which may differ from S."""
        maps: Tensor = self.conv_proj(pictures)
        patches = maps.flatten(2).transpose(1, 2)
        start = torch.cat([self.class_token.expand(pictures.shape[0], -1, -1), patches], dim=1)
        encoder: Any = self.encoder
        positions: Tensor = encoder.pos_embedding
        if maps.shape[-1] != self.side:
            positions = resize_positions(positions, maps.shape[-1])
        tokens: Tensor = encoder.ln(encoder.layers(encoder.dropout(start + positions)))
        return tokens[:, 0] if self.pooling == "cls" else tokens[:, 1:].mean(dim=1)


def resize_positions(positions: Tensor, side: int) -> Tensor:
    """Position embeddings [1, 1 + n*n, D] for ``side`` x ``side`` patches, bicubically; [CLS]'s row is kept.

    Raises:
        ValueError: the rows are not one and a square.
    """
    count = positions.shape[1] - 1
    old = math.isqrt(max(count, 0))
    if old * old != count or not count:
        raise ValueError(f"{positions.shape[1]} positions are not one for [CLS] and a square of patches")
    if old == side:
        return positions
    grid = positions[:, 1:].transpose(1, 2).reshape(1, -1, old, old)
    # Without antialiasing a smaller grid would skip positions.
    grid = F.interpolate(grid.float(), size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([positions[:, :1], grid.flatten(2).transpose(1, 2).to(positions.dtype)], dim=1)
