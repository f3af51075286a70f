"""The attribute values of the model's items, out of the catalogue of a data set or a run."""

import difflib
from collections.abc import Sequence

from recsvc.data import Dataset
from recsvc.errors import ConfigError
from recsvc.models.sequence.attributes import ItemAttributes, number_values
from recsvc.models.sequence.config import SequenceModelConfig
from recsvc.releases import Catalogue


def check_attributes(dataset: Dataset, config: SequenceModelConfig) -> None:
    """Refuse attributes that the data set's items do not have.

    Raises:
        ConfigError: naming the nearest one.
    """
    known = dataset.items.attribute_names
    for name in config.attributes:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            hint = f"the nearest is {near[0]!r}" if near else "they have none"
            raise ConfigError(f"sequence.model.attributes: items have no attribute {name!r}; {hint}")


def item_attributes(catalogue: Catalogue, ids: Sequence[str], config: SequenceModelConfig) -> ItemAttributes | None:
    """The attributes that the configuration names, of items by id; None if it names none."""
    if not config.attributes:
        return None
    items = catalogue.items([row for row in catalogue.rows(ids) if row is not None])
    assert len(items) == len(ids), "every item of the log is in the catalogue"
    values = [
        [f"{name}={value}" for name in config.attributes for value in _listed(item.attributes.get(name))]
        for item in items
    ]
    return ItemAttributes(*number_values(values), config.dim)


def _listed(value: object) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]
