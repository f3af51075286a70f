"""The attribute values of the model's items, out of the catalogue of a data set or a run."""

from recsvc.data import Dataset
from recsvc.data.nearest import nearest
from recsvc.errors import ConfigError
from recsvc.models.sequence.attributes import ItemAttributes, number_values
from recsvc.models.sequence.config import SequenceModelConfig
from training.run import Run
from training.sequence.baselines import Attributes
from training.sequence.data import SequenceData

_CATALOGUE_ROWS = 10_000  # read at a time


def check_attributes(dataset: Dataset, config: SequenceModelConfig) -> None:
    """Refuse attributes that the data set's items do not have.

    Raises:
        ConfigError: naming the nearest one.
    """
    known = dataset.items.attribute_names
    for name in config.attributes:
        if name not in known:
            near = nearest(name, known, cutoff=0.0)
            hint = f"the nearest is {near!r}" if near else "they have none"
            raise ConfigError(f"sequence.model.attributes: items have no attribute {name!r}; {hint}")


def item_attributes(run: Run, data: SequenceData) -> ItemAttributes | None:
    """The attributes that the run's configuration names, of the model's items; None if it names none."""
    config = run.config.sequence.model
    if not config.attributes:
        return None
    return ItemAttributes(*number_values(attribute_values(run, data)), config.dim)


def attribute_values(run: Run, data: SequenceData) -> list[list[str]]:
    """Of each of the model's items the values of the attributes that the run's configuration names."""
    names = run.config.sequence.model.attributes
    return [
        [f"{name}={value}" for name in names for value in _listed(attributes.get(name))]
        for attributes in read_attributes(run, data)
    ]


def read_attributes(run: Run, data: SequenceData) -> Attributes:
    """All attributes of each of the model's items, out of the run's catalogue."""
    catalogue = run.catalogue()
    try:
        return [
            item.attributes
            for start in range(0, data.num_items, _CATALOGUE_ROWS)
            for item in catalogue.items(data.vocabulary[start : start + _CATALOGUE_ROWS])
        ]
    finally:
        catalogue.close()


def _listed(value: object) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]
