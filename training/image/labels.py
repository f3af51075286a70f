"""What pictures are judged by: a label each, or an attribute of their items with any number of values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsvc.data import Dataset
from recsvc.errors import ConfigError
from recsvc.releases import Catalogue
from training.image.cache import TEST, TRAIN, PictureCache
from training.image.evaluation_config import ImageEvaluation

Int64 = NDArray[np.int64]
Values = Sequence[tuple[str, ...]]
"""The labels of each picture, often one, perhaps none."""

# Without a split, this share of the labelled pictures asks the others.
_QUERY_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class LabelTask:
    """Queries that look for their like in a gallery."""

    gallery: Int64
    """Rows of pictures, ascending."""
    queries: Int64
    labels: NDArray[Any]
    """Of all N pictures: a class number each, int64 [N], or which of C labels each has, bool [N, C]."""
    names: list[str]
    """Of the C classes or labels."""
    origin: str
    """Where the queries come from."""

    @property
    def single(self) -> bool:
        """Whether every picture has one class, which a classifier can tell."""
        return self.labels.ndim == 1


def check_attribute(dataset: Dataset, settings: ImageEvaluation) -> None:
    """Refuse an attribute that the data set's items do not have.

    Raises:
        ConfigError: saying which they have.
    """
    name, known = settings.attribute, dataset.items.attribute_names
    if name is not None and name not in known:
        hint = f"name one of {', '.join(known)}" if known else "items.* lists none"
        raise ConfigError(f"image.evaluation.attribute: items have no attribute {name!r}; {hint}")


def attribute_values(catalogue: Catalogue, ids: Sequence[str], attribute: str) -> Values:
    """The values of an attribute of the items that pictures show; an item may have none."""
    rows = [row for row in catalogue.rows(ids) if row is not None]
    assert len(rows) == len(ids), "every picture is of a thing of the catalogue"
    return [_several(item.attributes.get(attribute)) for item in catalogue.items(rows)]


def label_values(cache: PictureCache) -> Values | None:
    """The label of each picture, or None if none has one."""
    return None if cache.labels is None else [() if label is None else (label,) for label in cache.labels]


def label_task(cache: PictureCache, values: Values | None, settings: ImageEvaluation) -> LabelTask | None:
    """Who asks whom, or None if there is nothing to judge by.

    Queries are the pictures of the split `test`, and the gallery those of `train`; without splits a fixed fifth, drawn
    at random, asks the others. Pictures without a label do not take part.
    """
    if values is None:
        return None
    if settings.relevance == "same":
        values = [(" | ".join(sorted(own)),) if own else () for own in values]
    names = sorted({name for own in values for name in own})
    labels = _numbers(values, names)
    labelled = np.array([len(own) > 0 for own in values])
    gallery, queries = (rows[labelled[rows]] for rows in (cache.rows_of(TRAIN), cache.rows_of(TEST)))
    origin = "those of the split test, never trained on"
    if cache.splits is None:
        order = np.random.default_rng(settings.seed).permutation(gallery)
        cut = round(_QUERY_SHARE * len(order))
        gallery, queries = np.sort(order[cut:]), np.sort(order[:cut])
        origin = f"{_QUERY_SHARE:.0%} drawn at random, trained on without labels as there is no split"
    known = {name for row in gallery for name in values[row]}
    if not any(name in known for row in queries for name in values[row]):
        return None
    return LabelTask(gallery, queries, labels, names, origin)


def _numbers(values: Values, names: list[str]) -> NDArray[Any]:
    place = {name: number for number, name in enumerate(names)}
    if all(len(own) <= 1 for own in values):
        return np.array([place[own[0]] if own else -1 for own in values], np.int64)
    several = np.zeros((len(values), len(names)), np.bool_)
    for row, own in enumerate(values):
        several[row, [place[name] for name in own]] = True
    return several


def _several(value: str | list[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(dict.fromkeys(value))
