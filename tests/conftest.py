"""Data that several packages' tests use."""

import csv
import gc
import importlib.util
import io
import os
import random
import sys
import uuid
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

POSTGRES = os.environ.get("RECSVC_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
_BESIDE = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def pytest_unconfigure():
    """A service in this process has frozen what was there: let it go, or libraries complain of it at the end."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _subnormal_numbers():
    """A training has its thread round subnormal numbers to zero; tests after it may draw some."""
    yield
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def load_support():
    """Loads a module of ``tests/support`` by its name, once: tests are no package."""

    def load(name: str):
        full_name = f"recsvc_tests_{name}"
        if full_name not in sys.modules:
            spec = importlib.util.spec_from_file_location(full_name, Path(__file__).parent / "support" / f"{name}.py")
            sys.modules[full_name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[full_name])
        return sys.modules[full_name]

    return load


@pytest.fixture(scope="session")
def served(load_support):
    """``with served(store, **settings) as service``: a real `recsvc serve` in a process of its own."""
    return load_support("served").serving


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data sets, or a skip with the reason."""
    folder = Path(os.environ.get("RECSVC_TEST_DATA", _BESIDE))

    def find(name: str) -> Path:
        if not (folder / name).is_dir():
            pytest.skip(f"no real data at {folder / name}; set RECSVC_TEST_DATA to the folder that holds {name}")
        return folder / name

    return find


def write_cycle(folder: Path, *, users: int = 150, items: int = 30, seed: int = 0) -> Path:
    """A data set whose next item is certain: item i is always followed by item i + 1, around a ring."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "interactions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "timestamp"])
        for user in range(users):
            start = rng.randrange(items)
            for step in range(rng.randint(4, 14)):
                writer.writerow([f"user {user}", f"item/{(start + step) % items}", 1_000_000 + 60 * step])
    with (folder / "items.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "kind"])
        for item in range(items + 2):  # two that nobody has touched
            writer.writerow([f"item/{item}", f"Number {item}", "even" if item % 2 == 0 else "odd|prime"])
    return folder


@pytest.fixture(scope="session")
def cycle_dataset(tmp_path_factory):
    """A small ring data set."""
    return write_cycle(tmp_path_factory.mktemp("cycle") / "dataset")


def png(pixels) -> bytes:
    """The bytes of a PNG of uint8 pixels [H, W, 3]."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def write_trio(folder: Path, *, users: int = 150, items: int = 30) -> Path:
    """The ring with a graph and pictures: items of one maker stand side by side on it and have one colour.

    The last three items have no picture, the last two (that nobody has touched) no edge either.
    """
    write_cycle(folder, users=users, items=items)
    rng = np.random.default_rng(0)
    makers = items // 5
    lines = ["source_type,source_id,relation,target_type,target_id"]
    for item in range(items):
        lines.append(f"thing,item/{item},made_by,maker,Maker {item // 5}")
        lines.append(f"thing,item/{item},of_kind,kind,{'even' if item % 2 == 0 else 'odd'}")
    (folder / "edges.csv").write_text("\n".join(lines) + "\n", "utf-8")
    lines = ["node_type,node_id,label,name", "thing,item/0,,", "kind,even,,", "kind,odd,,"]
    lines += [f"maker,Maker {maker},{'big' if maker % 2 else 'small'},The maker no. {maker}" for maker in range(makers)]
    (folder / "nodes.csv").write_text("\n".join(lines) + "\n", "utf-8")
    colours = rng.integers(0, 256, size=(makers, 3))
    pictures = []
    for item in range(items - 1):
        noise = rng.normal(0, 25, size=(24, 20, 3)) + colours[item // 5]
        pictures.append(png(np.clip(noise, 0, 255).astype(np.uint8)))
    table = {
        "item_id": [f"item/{item}" for item in range(items - 1)],
        "image": pictures,
        "label": [f"maker {item // 5}" for item in range(items - 1)],
    }
    pq.write_table(pa.table(table), folder / "images.parquet")
    return folder


@pytest.fixture(scope="session")
def trio_dataset(tmp_path_factory):
    """A small data set with interactions, a graph and pictures."""
    return write_trio(tmp_path_factory.mktemp("trio") / "dataset")


SMALL = {
    "split.validation_users": 60,
    "sequence.model.dim": 32,
    "sequence.model.max_length": 12,
    "sequence.model.dropout": 0.0,
    "sequence.loop.epochs": 30,
    "sequence.loop.evaluate_every": 5,
    "sequence.loop.warmup_steps": 20,
    "sequence.loop.learning_rate": 0.003,
    "sequence.rows.tokens_per_batch": 256,
}


@pytest.fixture(scope="session")
def small_settings():
    """Settings under which the ring is learnt in seconds."""
    return dict(SMALL)


TRIO = SMALL | {
    "sequence.loop.epochs": 2,
    "sequence.loop.evaluate_every": 2,
    "graph.skip_gram.dim": 16,
    "graph.walks.per_node": 20,
    "graph.walks.length": 20,
    "image.size": 16,
    "image.model.width": 4,
    "image.batch_size": 16,
    "image.loop.epochs": 2,
    "runtime.threads": 1,
    "runtime.keep_memory": False,
}


@pytest.fixture(scope="session")
def trio_settings():
    """Settings under which all three spaces of the trio are trained in seconds."""
    return dict(TRIO)


@pytest.fixture
def one_thread():
    """PyTorch on one thread, where figures of two trainings are to agree bit for bit."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def postgres_schemas():
    """Makes empty schemas in the server's database, and drops them in the end; gives the URL of each."""
    import psycopg

    plain = POSTGRES.replace("+psycopg", "", 1)
    try:
        connection = psycopg.connect(plain, connect_timeout=2, autocommit=True)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL answers ({str(error).splitlines()[0]}); set RECSVC_TEST_POSTGRES to a URL")
    made = []

    def make() -> str:
        name = f"recsvc_test_{uuid.uuid4().hex[:12]}"
        connection.execute(f"CREATE SCHEMA {name}")
        made.append(name)
        return f"{POSTGRES}{'&' if '?' in POSTGRES else '?'}options={quote(f'-csearch_path={name}')}"

    yield make
    for name in made:
        connection.execute(f"DROP SCHEMA {name} CASCADE")
    connection.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    """The URL of a database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'events.sqlite'}"
    return request.getfixturevalue("postgres_schemas")()
