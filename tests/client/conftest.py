"""The service on a tiny release, as a process of its own; the clients know nothing of it but its address."""

import pytest

from recsvc.client import Client
from recsvc.releases import Store


@pytest.fixture(scope="session")
def tiny(load_support):
    return load_support("tiny_release").tiny_release()


@pytest.fixture(scope="session")
def store(tiny, load_support, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with two releases, of which the second is active."""
    store = Store(tmp_path_factory.mktemp("client") / "store")
    for release in (load_support("tiny_release").tiny_release(seed=1), tiny):
        store.activate(release.publish(store), actor="test", reason="test")
    return store


@pytest.fixture(scope="session")
def service(served, store: Store):
    with served(store.path) as service:
        yield service


@pytest.fixture(scope="session")
def client(service):
    with Client(service.url) as client:
        yield client
