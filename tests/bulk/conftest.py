from datetime import UTC, datetime

import pytest

from recsvc.answers import Recommender
from recsvc.answers.bundle import Bundle, open_bundle
from recsvc.events import Database, Event
from recsvc.releases import Store


@pytest.fixture(scope="session")
def tiny(load_support):
    return load_support("tiny_release").tiny_release()


@pytest.fixture(scope="session")
def store(tiny, tmp_path_factory) -> Store:
    store = Store(tmp_path_factory.mktemp("bulk") / "store")
    store.activate(tiny.publish(store), actor="test", reason="test")
    return store


@pytest.fixture(scope="session")
def bundle(store: Store) -> Bundle:
    release = store.current()[0].id
    return open_bundle(store.path_of(release), release)


@pytest.fixture(scope="session")
def recommender(bundle: Bundle) -> Recommender:
    return Recommender(bundle)


@pytest.fixture(scope="session")
def people(tiny) -> dict[str, list[str]]:
    """Histories of all kinds: long, of what the model does not know, of what nobody knows, of everything."""
    modelled = [tiny.ids[row] for row in tiny.catalogue_rows]
    unmodelled = [item_id for item_id in tiny.ids if tiny.row_of(item_id) is None]
    bare = [item_id for item_id in unmodelled if tiny.newest_content([item_id]) is None]
    people = {f"reader {number}": modelled[number : number + 1 + number % 9] for number in range(23)}
    people |= {f"viewer of {item_id}": [item_id, "absent"] for item_id in unmodelled if item_id not in bare}
    people |= {"nobody's": ["absent", "gone"], "Zoë 🎬": [*modelled, *unmodelled], "again": [modelled[3]] * 5}
    return people | {f"bare {item_id}": [item_id] for item_id in bare}


@pytest.fixture
def fill(people, noon):
    """Puts the histories into a database."""

    def put(database: Database) -> None:
        database.events.add(
            [
                Event(f"{user}/{place}", user, item_id, noon, kind="view")
                for user, history in people.items()
                for place, item_id in enumerate(history)
            ]
        )

    return put


@pytest.fixture
def noon():
    return datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def filled(tmp_path, fill):
    """A database of the histories."""
    with Database.open(f"sqlite:///{tmp_path / 'people.sqlite'}") as database:
        fill(database)
        yield database
