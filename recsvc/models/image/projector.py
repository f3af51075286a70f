"""The projector g of SimCLR (Chen et al., ICML 2020, section 2.1 and the authors' code): h [B, d] -> z [B, D].

The loss is taken on z; what is served is h, which keeps what the loss teaches z to forget (section 4.2).
"""

from torch import Tensor, nn


class Projector(nn.Module):
    """Linear - BatchNorm - ReLU - Linear - BatchNorm; no bias where BatchNorm follows, the last without shift."""

    def __init__(self, dim: int, projection: int = 128) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(dim, dim, bias=False), nn.BatchNorm1d(dim), nn.ReLU())
        self.output = nn.Linear(dim, projection, bias=False)
        self.norm = nn.BatchNorm1d(projection)
        # The centre of z is fixed at zero: a shift that nothing trains and nothing moves.
        assert self.norm.bias is not None
        self.norm.bias.requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Project features [B, d] -> [B, D]."""
        projected: Tensor = self.norm(self.output(self.hidden(features)))
        return projected
