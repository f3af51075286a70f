"""The command that writes vectors and walks for other tools."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="Run folder that `recsvc train` made.", show_default=False)],
    space: Annotated[
        str,
        typer.Option("--space", help="graph, behaviour, image, or the name of your own vectors.", show_default=False),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="word2vec (binary), word2vec-text, parquet, npy (with the ids in a file beside it), or walks (of the "
            "graph, one a line).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="File to make.", show_default=False)],
) -> None:
    """Write the vectors of a space, or its walks, into a file that other tools read."""
    from recsvc.terminal import say
    from training.run import Run
    from training.vectors import export_space

    say(f"{out}: {export_space(Run.open(run), space, form, out)}")
