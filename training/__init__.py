"""The offline pipeline: configuration, one shared loop, fit, evaluate and export per space.

In a notebook::

    from training import fit

    model = fit("path/to/dataset", out="runs/first")
    model.recommend(["Toy Story's id", "another id"], k=10)
    model.similar(id="Toy Story's id", k=5)
"""

import os
from typing import TYPE_CHECKING, Any

# Read by OpenMP when torch is first imported. A thread that waits for another spins this many times before it sleeps;
# with the default of 300,000 a training whose cores are shared with other work ran up to ten times slower, with this
# one at most twice, and as fast on cores of its own.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

if TYPE_CHECKING:
    from training.notebook import FittedRun, fit

__all__ = ["FittedRun", "fit"]


def __getattr__(name: str) -> Any:
    """Import the notebook interface, and with it torch, when it is first asked for."""
    if name in __all__:
        from training import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
