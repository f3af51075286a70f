"""One trained run of three spaces, whose titles try to be HTML."""

import pytest

from training.config import load_config
from training.pipeline import train

NASTY = '<script>alert("&")</script>'


@pytest.fixture(scope="session")
def nasty():
    """What every title holds."""
    return NASTY


@pytest.fixture(scope="session")
def trio_run(trio_dataset, trio_settings, tmp_path_factory):
    """Trained, not evaluated; the behaviour model long enough to know the ring."""
    dataset = tmp_path_factory.mktemp("nasty") / "data & <b>set"
    dataset.mkdir(parents=True)
    for file in trio_dataset.iterdir():
        (dataset / file.name).write_bytes(file.read_bytes())
    items = (dataset / "items.csv").read_text("utf-8")
    quoted = NASTY.replace('"', '""')
    lines = [line.split(",") for line in items.splitlines()]
    rows = [f'{item},"{title} {quoted}",{kind}' for item, title, kind in lines[1:]]
    (dataset / "items.csv").write_text("\n".join([",".join(lines[0]), *rows]) + "\n", "utf-8")
    settings = trio_settings | {"sequence.loop.epochs": 60, "sequence.loop.evaluate_every": 20}
    settings |= {"image.loop.evaluate_every": 1}
    overrides = [f"{key}={value}" for key, value in settings.items()]
    return train(dataset, tmp_path_factory.mktemp("run") / "run <i>", config=load_config(None, overrides))
