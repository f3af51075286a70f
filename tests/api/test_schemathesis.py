"""Requests drawn from the OpenAPI document, right and wrong, against the real service: it always answers as documented.

``RECSVC_FUZZ_EXAMPLES=1000 pytest -o timeout=0 tests/api/test_schemathesis.py`` draws more;
``RECSVC_FUZZ_OPERATION=find_similar`` keeps to one operation.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis

from recsvc.events import Database, key_text
from recsvc.releases import Store

EXAMPLES = int(os.environ.get("RECSVC_FUZZ_EXAMPLES", "15"))
# What the document can say is not all that makes a question one that can be answered: attributes, spaces and types
# are those of the release, and ids are measured in bytes.
ACCEPTED = ["2xx", "401", "403", "404", "409", "422"]
REFUSED = ["400", "401", "403", "404", "405", "409", "413", "415", "422"]
CONFIG = {
    "seed": 7,
    "generation": {
        "max-examples": EXAMPLES,
        "deterministic": True,
        "database": "none",
        "with-security-parameters": False,  # a key is given, or none is needed; the check `ignored_auth` leaves it out
    },
    "phases": {"coverage": {"enabled": False}, "stateful": {"enabled": False}},
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ACCEPTED},
        "negative_data_rejection": {"expected-statuses": REFUSED},
    },
}
DOCUMENT = json.loads(Path(__file__).with_name("openapi.json").read_text())


def schema_of(document: dict) -> schemathesis.BaseSchema:
    schema = schemathesis.openapi.from_dict(drawable(document), config=schemathesis.Config.from_dict(CONFIG))
    operation = os.environ.get("RECSVC_FUZZ_OPERATION")
    return schema if operation is None else schema.include(operation_id=operation)


def drawable(part: Any) -> Any:
    """The document without the limits of long lists: whoever draws fills them to the last of 10,000 ids in each of 256
    rows, which takes gigabytes. That the limits hold, other tests show."""
    if isinstance(part, list):
        return [drawable(each) for each in part]
    if not isinstance(part, dict):
        return part
    long = part.get("type") == "array" and part.get("maxItems", 0) > 64
    return {name: drawable(each) for name, each in part.items() if not (long and name == "maxItems")}


def without_security(document: dict) -> dict:
    """The document of a service that asks for no keys."""
    paths = {
        path: {method: {**operation, "security": []} for method, operation in operations.items()}
        for path, operations in document["paths"].items()
    }
    return {**document, "paths": paths}


open_schema, guarded_schema = schema_of(without_security(DOCUMENT)), schema_of(DOCUMENT)


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def open_service(served, fuzzed_store):
    with served(fuzzed_store.path, log_requests=False) as service:
        yield service


@pytest.fixture(scope="module")
def guarded(served, fuzzed_store, tmp_path_factory: pytest.TempPathFactory):
    """A service that asks for keys, and a key that may do everything."""
    url = f"sqlite:///{tmp_path_factory.mktemp('guarded') / 'events.sqlite'}"
    with Database.open(url) as database:
        key = key_text(*database.keys.create("fuzzing", ["admin"]))
    with served(fuzzed_store.path, auth="keys", database=url, log_requests=False) as service:
        yield service, key


@pytest.fixture(scope="module")
def fuzzed_store(support, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two releases, so that there is something to roll back to."""
    store = Store(tmp_path_factory.mktemp("fuzzed") / "store")
    for seed in (1, 0):
        store.activate(support.tiny_release(seed=seed).publish(store), actor="test", reason="test")
    return store


@open_schema.parametrize()
def test_an_open_service_answers_as_documented(case, open_service, session) -> None:
    case.call_and_validate(base_url=open_service.url, session=session)


@guarded_schema.parametrize()
def test_a_guarded_service_answers_as_documented(case, guarded, session) -> None:
    service, key = guarded
    case.call_and_validate(base_url=service.url, session=session, headers={"X-API-Key": key})


def test_the_services_are_fine_afterwards(open_service, guarded) -> None:
    assert open_service.is_fine() and guarded[0].process.poll() is None
    for service in (open_service, guarded[0]):
        assert '"failure"' not in service.text and "Traceback" not in service.text
