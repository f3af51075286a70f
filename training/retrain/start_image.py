"""The start of the `image` space: the encoder is kept while nearly all pictures are those that it has learnt from."""

from pathlib import Path

from safetensors.torch import load_file

from recsvc.data import Dataset, ImageTable
from training.config import Config
from training.files import link_file
from training.flat import first_difference
from training.image.cache import PictureCache, choose_size
from training.image.sums import PictureSums
from training.loop import BEST_WEIGHTS
from training.retrain.start import Choice, Start, enough_warm, read_starts, warm_loop
from training.run import Run
from training.start_weights import Tensors

_LEARNT = "learnt"
"""In the space's folder of a run that has kept its encoder: the sums of the pictures that this has learnt from."""
_ADAPTED = ("epochs", "learning_rate", "warmup_steps", "warmup_epochs")


def choose_image(dataset: Dataset, config: Config, champion: Run, in_a_row: int) -> Choice:
    """Kept with few new pictures, warm with more, cold where settings, size or labels differ."""
    assert dataset.images is not None
    learnt, reason = _learnt(champion), _reason_against(dataset.images, config, champion)
    if learnt is None or reason is not None:
        reason = reason or "the champion's run does not say which pictures it has learnt from"
        return Choice(Start("cold", reason), config)
    sums = PictureSums.of(dataset.images)
    new, gone = sums.not_in(learnt), learnt.not_in(sums)
    if config.image.fine_tune is not None:
        return Choice(_start_tuned(dataset.images, champion, new + gone), config)
    limit, share = config.retrain.start.max_new_pictures, max(new / len(sums.ids), gone / len(learnt.ids))
    if share <= limit:
        changed = f"of {len(sums.ids):,} pictures the encoder has learnt from all but {new:,}"
        why = f"{changed}, and {gone:,} that it has learnt from have gone"
        return Choice(Start("kept", why, read_starts(champion).in_a_row("image")), config)
    changed = f"{share:.0%} of the pictures have changed, more than {limit:.0%} (retrain.start.max_new_pictures)"
    return _train_again(config, in_a_row, changed)


def _train_again(config: Config, in_a_row: int, changed: str) -> Choice:
    start, loop = config.retrain.start, config.image.loop
    if (enough := enough_warm(in_a_row, start)) is not None:
        return Choice(Start("cold", f"{changed}; {enough}"), config)
    warm = warm_loop(loop, start, start.warm_image_epochs, warmup_epochs=min(loop.warmup_epochs, 1.0))
    adapted = config.model_copy(update={"image": config.image.model_copy(update={"loop": warm})})
    why = f"{changed}: {warm.epochs} passes in place of {loop.epochs}"
    return Choice(Start("warm", why, in_a_row + 1), adapted)


def _start_tuned(images: ImageTable, champion: Run, changed: int) -> Start:
    """Of an encoder that is tuned on labels: which classes there are follows from all the pictures."""
    cache = PictureCache.load(champion.data("image"))
    if changed or (images.labels, images.splits) != (cache.labels, cache.splits):
        return Start("cold", "pictures or labels have changed, and the encoder is tuned on them")
    why = f"all {len(images):,} pictures and labels are the champion's"
    return Start("kept", why, read_starts(champion).in_a_row("image"))


def image_weights(champion: Run, run: Run) -> Tensors:
    """The initial weights of a run that begins from another one: all of the method's, of the same shapes."""
    return load_file(champion.folder / "image" / BEST_WEIGHTS)


def keep_image_facts(champion: Run, folder: Path) -> None:
    """Put beside a kept encoder which pictures it has learnt from, unless it had been kept before."""
    target = folder / _LEARNT
    if not target.is_dir():
        target.mkdir()
        for name in PictureSums.FILES:
            link_file(champion.data("image") / name, target / name)


def _learnt(champion: Run) -> PictureSums | None:
    kept = champion.folder / "image" / _LEARNT
    return PictureSums.load(kept if kept.is_dir() else champion.data("image"))


def _reason_against(images: ImageTable, config: Config, champion: Run) -> str | None:
    """A setting that decides what the encoder is and differs; passes and rates count only after a cold training."""
    sections = []
    for each in (champion.config, config):
        section = each.image.model_dump(mode="json", exclude={"evaluation"})
        if read_starts(champion).in_a_row("image"):
            section["loop"] = {key: value for key, value in section["loop"].items() if key not in _ADAPTED}
        sections.append(section)
    differs = first_difference(*sections, path="image")
    if differs is not None:
        return f"other settings: {differs}"
    size, was = config.image.size or choose_size(images), PictureCache.load(champion.data("image")).spec.size
    return None if size == was else f"the input is {size} pixels now, and was {was}"
