"""A graph in which one meta-path tells who wrote what, and another tells nothing."""

import numpy as np
import pytest

AREAS, AUTHORS, PAPERS = 4, 120, 240


def write_areas(folder, seed=0):
    """Authors write papers of their own area, and each area has its venues; the year of a paper is drawn at random."""
    rng = np.random.default_rng(seed)
    lines = ["source_type,source_id,relation,target_type,target_id"]
    for paper in range(PAPERS):
        area = paper % AREAS
        for author in rng.choice(AUTHORS // AREAS, 3, replace=False):
            lines.append(f"paper,p{paper},written_by,author,a{author * AREAS + area}")
        lines.append(f"paper,p{paper},published_in,venue,v{area}-{rng.integers(2)}")
        lines.append(f"paper,p{paper},in_year,year,{rng.integers(1990, 2000)}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "edges.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def areas(tmp_path_factory):
    """The data set folder."""
    return write_areas(tmp_path_factory.mktemp("areas") / "dataset")


SETTINGS = (
    "runtime.threads=1",
    "graph.discovery.dim=16",
    "graph.discovery.tokens_per_node=100",
    "graph.walks.per_node=2",
    "graph.walks.length=50",
    "graph.skip_gram.dim=16",
    "graph.skip_gram.learning_rate=0.05",
)


@pytest.fixture(scope="session")
def settings():
    """Arguments of a search that takes a second."""
    return [argument for setting in SETTINGS for argument in ("--set", setting)]
