"""The encoder of rows of features: a perceptron that any method takes as its backbone.

Five layers, as in the tabular experiments of i-Mix (Lee et al., ICLR 2021, section 4.4), each Linear - BatchNorm - ReLU
and of one width; theirs widen up to 8192 and end in a maximum over fours.
"""

from torch import Tensor, nn


class MLP(nn.Module):
    """Rows of features [B, F] -> h [B, width]."""

    def __init__(self, features: int, width: int, layers: int = 5) -> None:
        """Fresh weights.

        Args:
            features: F, the number of columns.
            width: d, of every layer and of what comes out.
            layers: number of layers.
        """
        super().__init__()
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Linear(features if layer == 0 else width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()
                )
                for layer in range(layers)
            )
        )

    def forward(self, rows: Tensor) -> Tensor:
        """h [B, width] of rows [B, F], standardised."""
        encoded: Tensor = self.layers(rows)
        return encoded
