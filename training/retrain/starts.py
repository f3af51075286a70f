"""From which weights the spaces of a retraining begin: cold (random), warm (the champion's), or kept as they are.

Which it is follows from the data, the settings and the champion's run alone, so that an attempt that was killed decides
again as before. The initial weights of a warm training are a file of the run; see :mod:`training.start_weights`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass

from recsvc.data import Dataset
from recsvc.errors import RunError
from training.checkpoints import save_tensors
from training.config import Config
from training.retrain.start import Choice, Start, read_starts, write_starts
from training.retrain.start_behaviour import behaviour_weights, choose_behaviour
from training.retrain.start_graph import choose_graph
from training.retrain.start_image import choose_image, image_weights, keep_image_facts
from training.retrain.start_kept import keep_space
from training.run import Run
from training.spaces import SPACES
from training.start_weights import START_WEIGHTS, Tensors

__all__ = ["Start", "Starts", "apply_starts", "choose_starts"]

_CHOICES: Mapping[str, Callable[[Dataset, Config, Run, int], Choice]] = {
    "behaviour": choose_behaviour,
    "graph": lambda dataset, config, champion, _: choose_graph(dataset, config, champion),
    "image": choose_image,
}
_WEIGHTS: Mapping[str, Callable[[Run, Run], Tensors]] = {"behaviour": behaviour_weights, "image": image_weights}


@dataclass(frozen=True)
class Starts:
    """How each trained space begins.

    Attributes:
        config: the settings of the run: those asked for, with fewer passes where a space begins warm.
        spaces: by name; the user's own vectors are not trained and not here.
    """

    config: Config
    spaces: dict[str, Start]


def choose_starts(
    dataset: Dataset, config: Config, champion: Run | None, *, cold: bool, lost: Collection[str] = ()
) -> Starts:
    """Decide for every space that the data set has files for.

    Args:
        dataset: what will be trained on.
        config: the settings asked for.
        champion: the run that the active release was made of, if it is there.
        cold: whether to begin anew in any case.
        lost: spaces of which a cold training has lost to this champion: it counts as the cold one that was due, or the
            same would lose night after night.
    """
    found: dict[str, Start] = {}
    adapted = config
    for name, choose in _CHOICES.items():
        space = SPACES[name]
        if not space.available(dataset, config):
            continue
        if cold:
            found[name] = Start("cold", "asked for")
        elif champion is None:
            found[name] = Start("cold", "there is no run of a champion to begin from")
        elif not space.trained(champion):
            found[name] = Start("cold", "the champion has no such space")
        else:
            in_a_row = 0 if name in lost else read_starts(champion).in_a_row(name)
            choice = choose(dataset, adapted, champion, in_a_row)
            found[name], adapted = choice.start, choice.config
    return Starts(adapted, found)


def apply_starts(run: Run, champion: Run | None, starts: Starts) -> None:
    """Put initial weights and spaces that are kept into a run that is prepared; done again, it changes nothing.

    Args:
        run: of ``starts.config``.
        champion: as for :func:`choose_starts`.
        starts: what that has found.

    Raises:
        RunError: the champion's run has gone meanwhile.
    """
    for name, start in starts.spaces.items():
        folder = run.folder / name
        if start.kind == "cold" or not run.data(name).is_dir():  # a run may be of some spaces only
            continue
        if (folder / START_WEIGHTS).is_file() or SPACES[name].trained(run):
            continue
        if champion is None:
            raise RunError(f"{run.folder}: the run of the champion, from which {name} begins, is gone; begin it anew")
        if start.kind == "warm":
            folder.mkdir(exist_ok=True)
            save_tensors(folder / START_WEIGHTS, _WEIGHTS[name](champion, run))
        else:
            keep_space(run, champion, name, before=keep_image_facts if name == "image" else None)
    write_starts(run, {name: asdict(start) for name, start in starts.spaces.items()})
