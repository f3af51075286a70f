"""A run of three spaces and the release made of it, which the tests of the gate look at and never change; poison."""

import importlib.util
from pathlib import Path

import pytest

from recsvc.releases import Store
from training import fit, pipeline
from training.retrain.gate import Contender


@pytest.fixture(scope="session")
def gate_run(tmp_path_factory, trio_dataset, trio_settings):
    return fit(trio_dataset, tmp_path_factory.mktemp("gate") / "run", settings=trio_settings, quiet=True).run


@pytest.fixture(scope="session")
def gate_champion(gate_run, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("gate") / "store")
    release = pipeline.publish(gate_run, store)
    return Contender(store.path_of(release), release, store.verify(release))


@pytest.fixture(scope="session")
def poisons():
    """What may happen to a day of events, by name: the same list as the benchmark's."""
    path = Path(__file__).parents[3] / "benchmarks" / "poisons.py"
    spec = importlib.util.spec_from_file_location("recsvc_poisons", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.POISONS
