"""The command between two retrainings: new items enter the active release, and nothing is trained."""

from pathlib import Path
from typing import Annotated

import typer

from recsvc.cli_releases import StoreFolder
from recsvc.terminal import say


def increment(
    store: StoreFolder,
    dataset: Annotated[
        Path | None,
        typer.Argument(
            help="Data set folder with the new items [default: the one that the active release was retrained on].",
            show_default=False,
        ),
    ] = None,
    work: Annotated[
        Path | None, typer.Option("--work", help="Work folder of retrainings [default: retrain in the store].")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Run that the active release came from [default: found in the work folder]."),
    ] = None,
) -> None:
    """Give new items with pictures or relations vectors, and let them into the active release.

    What the release has already keeps its vectors and answers. With nothing new, nothing happens.
    """
    from recsvc.releases import Store
    from training.progress import Reporter
    from training.retrain.increment import dataset_of
    from training.retrain.increment import increment as increment_store

    opened, folder = Store(store), work or store / "retrain"
    found = dataset or dataset_of(opened, folder)
    if found is None:
        say("nothing new: the active release was retrained on no data set folder, and none is named")
        return
    result = increment_store(found, opened, folder, run=run, reporter=Reporter())
    if result.release is None:
        say(result.sentence)
    else:
        print(f"{result.release}: {result.sentence}")
