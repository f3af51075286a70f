"""What is refused before a picture is decoded: settings of which no network can be built, labels that teach nothing."""

import torch

from recsvc.data import ImageTable
from recsvc.errors import ConfigError, DatasetError
from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.classifier import fine_tuned
from recsvc.models.image.weights import load_backbone_weights
from training.image.cache import TRAIN, split_rows
from training.image.config import ImageConfig
from training.image.methods import build_method


def check_networks(config: ImageConfig, size: int) -> None:
    """Build what will be trained, as shapes alone, and read the file of weights.

    Raises:
        ConfigError: naming the setting that does not fit.
    """
    with torch.device("meta"):
        try:
            method = build_method(config, size)
            if config.distil is not None and config.distil.model is not None:
                build_backbone(config.distil.model, size)
        except ValueError as error:
            raise ConfigError(f"image.model.patch: {error}; give another patch or another image.size") from None
        if config.fine_tune is not None:
            try:
                fine_tuned(method, 2, config.fine_tune.layer)
            except ValueError as error:
                raise ConfigError(f"image.fine_tune.layer: {error}") from None
    if config.model.weights is not None:
        load_backbone_weights(build_backbone(config.model, size)[0], config.model.weights)


def check_labels(images: ImageTable) -> None:
    """Refuse pictures from whose labels nothing can be learnt, or by whose labels nothing could be judged then.

    Raises:
        DatasetError: saying which.
    """
    if images.splits is None:
        raise DatasetError(
            f"{images.place(0)}: image.fine_tune learns from labels, and without a column split nothing is left to "
            "judge it by; add one with the values train and test"
        )
    rows = split_rows(images.splits, len(images), TRAIN)
    names = {images.labels[row] for row in rows} - {None} if images.labels else set()
    if len(names) < 2:
        raise DatasetError(
            f"{images.place(0)}: image.fine_tune needs two different labels in the split {TRAIN}, and there are "
            f"{len(names)}; add a column label"
        )
