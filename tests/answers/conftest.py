import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from recsvc.answers import Recommender
from recsvc.releases import CatalogueItem, Store


def load_support(name: str) -> ModuleType:
    """Tests are no package, so what they share is loaded by its path, once."""
    full_name = f"recsvc_tests_{name}"
    if full_name not in sys.modules:
        path = Path(__file__).parents[1] / "support" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(full_name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[full_name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full_name])
    return sys.modules[full_name]


@pytest.fixture(scope="session")
def support() -> ModuleType:
    return load_support("tiny_release")


@pytest.fixture(scope="session")
def oracle() -> ModuleType:
    return load_support("next_items")


@pytest.fixture(scope="session")
def things() -> list[CatalogueItem]:
    """A small catalogue whose attributes differ in every way."""
    return load_support("films").FILMS


@pytest.fixture(scope="session")
def tiny(support: ModuleType):
    return support.tiny_release()


@pytest.fixture(scope="session")
def store(tiny, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("answers") / "store")
    store.activate(tiny.publish(store), actor="test", reason="test")
    return store


@pytest.fixture(scope="session")
def recommender(store: Store) -> Recommender:
    return Recommender.from_store(store.path)
