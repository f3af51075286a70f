"""Vectors of new pictures, by the encoder of a release."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from recsvc.answers.encoder import PictureEncoder
from recsvc.data import ImageTable, Problems
from recsvc.errors import PictureError
from recsvc.pictures import PictureInput, preprocess
from recsvc.releases import SpaceEntry
from training.progress import Reporter
from training.retrain.increment_data import Addition


def encode_pictures(
    release: Path, entry: SpaceEntry, images: ImageTable, wanted: Collection[str], item_type: str, reporter: Reporter
) -> Addition:
    """Encode the pictures of some items with a release's encoder.

    Args:
        release: its folder.
        entry: of the space; its encoder reads pictures.
        images: the pictures, read in their order.
        wanted: ids of items; those without a picture are left out.
        item_type: node type of the items.
        reporter: where progress is shown.

    Raises:
        DatasetError: pictures are damaged; the first twenty are named.
        ReleaseError: the encoder cannot be used.
    """
    assert entry.encoder is not None and entry.picture is not None
    rows = [row for row, item_id in enumerate(images.ids) if item_id in wanted]
    vectors = np.zeros((len(rows), entry.dim), np.float32)
    encoder = PictureEncoder.open(release / entry.encoder, dim=entry.dim)
    spec = PictureInput(entry.picture.size, entry.picture.mean, entry.picture.std)
    damaged = Problems()
    with reporter.work("image: pictures encoded", len(rows)) as work:
        for place, row in enumerate(rows):
            try:
                vectors[place] = encoder.encode(preprocess(images.read(row), spec))
            except PictureError as error:
                damaged.add(Path(images.place(row)), f"the image {error}.")
            work.update(place + 1)
    damaged.raise_if_any()
    return Addition([(item_type, item_id) for item_id in images.ids.ids_of(rows)], vectors)
