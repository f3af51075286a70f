"""Boosts over a catalogue: by what the probability of everything in it is multiplied."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsvc.answers.bundle import Bundle
from recsvc.answers.questions import Boost


@dataclass(frozen=True, slots=True)
class Factors:
    """What all boosts of a question make of each thing.

    Attributes:
        product: float64 ``[N]`` over the catalogue's rows: what a count is multiplied by.
        logarithm: float64 ``[N]``: what is added to a score. Summed, since a product of small factors may vanish.
    """

    product: npt.NDArray[np.float64]
    logarithm: npt.NDArray[np.float64]


def factors_of(bundle: Bundle, boosts: Sequence[Boost]) -> Factors | None:
    """Bring the boosts of a question together; None where there are none.

    Raises:
        RequestError: If the catalogue has none of an attribute that a filter names.
    """
    if not boosts:
        return None
    factors = Factors(np.ones(len(bundle.catalogue)), np.zeros(len(bundle.catalogue)))
    for boost in boosts:
        mask = bundle.attributes.mask(boost.filter)
        factors.product[mask] *= boost.factor
        factors.logarithm[mask] += np.log(boost.factor)
    return factors
