"""The offline pipeline: configuration, one shared loop, fit, evaluate and export per space.

In a notebook::

    from training import fit

    model = fit("path/to/dataset", out="runs/first")
    model.recommend(["Toy Story's id", "another id"], k=10)
    model.similar(id="Toy Story's id", k=5)
"""

from training.notebook import FittedRun, fit

__all__ = ["FittedRun", "fit"]
