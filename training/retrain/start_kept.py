"""Taking a trained space over from the champion's run: its files are hard links."""

import shutil
from collections.abc import Callable
from pathlib import Path

from recsvc.data.staging import whole_folder
from training.files import link_file
from training.run import Run

_NOT_KEPT = ("checkpoints",)


def keep_space(run: Run, champion: Run, name: str, *, before: Callable[[Run, Path], None] | None = None) -> None:
    """Give a run the trained space of another one, whole or not at all.

    Args:
        run: has the space not yet.
        champion: has it.
        name: of the space.
        before: adds to the files, told the champion and where they lie.
    """
    folder = run.folder / name
    if folder.exists():  # of a process that was killed before it noted that the space is trained
        shutil.rmtree(folder)
    with whole_folder(folder) as staging:
        shutil.copytree(
            champion.folder / name,
            staging,
            copy_function=link_file,
            ignore=shutil.ignore_patterns(*_NOT_KEPT, ".*"),
            dirs_exist_ok=True,
        )
        if before is not None:
            before(champion, staging)
    facts = champion.read_json(f"{name}.json")
    assert facts is not None, "only what is trained is kept"
    run.write_json(f"{name}.json", facts)
