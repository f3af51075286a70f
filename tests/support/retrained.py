"""A small shop whose log grows by a day at a time, and settings under which it is retrained in a second."""

import random
from pathlib import Path

ITEMS, USERS, FIRST = 24, 120, 1_700_000_000

SETTINGS = {
    "runtime.threads": 1,
    "runtime.keep_memory": "false",
    "split.validation_users": 40,
    "sequence.model.dim": 16,
    "sequence.model.layers": 1,
    "sequence.model.max_length": 8,
    "sequence.loop.epochs": 6,
    "sequence.loop.warmup_steps": 10,
    "sequence.loop.learning_rate": 0.01,
    "sequence.rows.tokens_per_batch": 400,
    "retrain.holdout_share": 0.5,
}


def overrides(**changes: object) -> list[str]:
    """The settings as ``key=value``; ``__`` in a name stands for the dot."""
    settings = SETTINGS | {name.replace("__", "."): value for name, value in changes.items()}
    return [f"{name}={value}" for name, value in settings.items()]


def write_days(folder: Path, days: int, *, users: int = USERS) -> Path:
    """A data set folder: items stand in a ring, and everybody walks a few steps of it each day."""
    rng = random.Random(0)
    lines = ["user_id,item_id,timestamp"]
    for user in range(users):
        place = rng.randrange(ITEMS)
        for day in range(days):
            start = FIRST + 86_400 * day + rng.randrange(80_000)
            for step in range(rng.randint(3, 6)):
                lines.append(f"user {user},item {place},{start + 60 * step}")
                place = (place + 1) % ITEMS
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "interactions.csv", "\n".join(lines) + "\n")
    items = [f"item {item},Number {item},{'even' if item % 2 == 0 else 'odd'}" for item in range(ITEMS)]
    write_whole(folder / "items.csv", "\n".join(["item_id,title,kind", *items]) + "\n")
    return folder


def write_whole(path: Path, text: str) -> None:
    """Replace a file of a data set: snapshots hold links to the one that was there."""
    staging = path.with_name(f".{path.name}")
    staging.write_text(text, "utf-8")
    staging.replace(path)
