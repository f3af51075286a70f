"""Every route of the document, with every kind of key; then rates, caches, and what happens without a database."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest
from starlette.requests import Request

from api.auth import SCOPES, Access
from api.problems import NO_DATABASE, ProblemError
from api.request_info import SCOPE_KEY, RequestInfo
from api.settings import Settings, load_settings
from recsvc.errors import ConfigError
from recsvc.events import ApiKey, Database, key_text

RANK = {"read": 0, "write": 1, "admin": 2}
KINDS = ("none", "bad", "malformed", "read", "write", "admin", "revoked", "expired")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The URL of a database, and a key of every kind in it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('auth') / 'events.sqlite'}"
    with Database.open(url) as database:
        made = {scope: database.keys.create(scope, [scope]) for scope in RANK}
        made["revoked"] = database.keys.create("revoked", ["admin"])
        database.keys.revoke(made["revoked"][0])
        soon = datetime.now(UTC) + timedelta(milliseconds=50)
        made["expired"] = database.keys.create("expired", ["admin"], expires=soon)
        made["slow"] = database.keys.create("slow", ["read"], rate=2)
    time.sleep(0.1)
    texts = {kind: key_text(*parts) for kind, parts in made.items()}
    return texts | {
        "url": url,
        "bad": key_text(made["admin"][0], "x" * 43),
        "malformed": "let me in",
    }


@pytest.fixture(scope="module")
def service(store, keys: dict[str, str], run_service, wait_ready) -> Iterator[httpx.Client]:
    settings = Settings(store=store.path, auth="keys", database=keys["url"], poll_seconds=0.05)
    with run_service(settings) as client:
        wait_ready(client)
        yield client


def operations(document: dict) -> list[tuple[str, str, str]]:
    return [
        (method, path, operation["operationId"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_route_asks_for_its_scope(service: httpx.Client, keys: dict[str, str], is_problem, kind: str) -> None:
    found = operations(service.get("/openapi.json").json())
    assert {name for *_, name in found} == SCOPES.keys()
    headers = {} if kind == "none" else {"X-API-Key": keys[kind]}
    for method, path, name in found:
        url = path.replace("{item_id}", "1193").replace("{user_id}", "Ada").replace("{release_id}", "none")
        url = url.replace("{job_id}", "0" * 16)
        response = service.request(method, url, headers=headers)
        needed = SCOPES[name]
        if needed in ("open", "metrics"):  # the client is on the same machine
            assert response.status_code == 200, name
        elif kind not in RANK:
            is_problem(response, 401, "unauthenticated")
            assert response.headers["www-authenticate"]
        elif RANK[kind] < RANK[needed]:
            is_problem(response, 403, "forbidden")
        else:
            assert response.status_code not in (401, 403), name
            if name == "roll_back_release":
                is_problem(response, 409, "release-conflict")  # there is nothing before the only release


def test_the_open_routes_are_open(service: httpx.Client) -> None:
    for path in ("/livez", "/readyz", "/docs", "/openapi.json"):
        assert service.get(path).status_code == 200


def test_metrics_of_a_client_behind_a_proxy_need_a_key(service: httpx.Client, keys: dict[str, str], is_problem) -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.1"}
    is_problem(service.get("/metrics", headers=forwarded), 401, "unauthenticated")
    is_problem(service.get("/metrics", headers=forwarded | {"X-API-Key": keys["write"]}), 403, "forbidden")
    assert service.get("/metrics", headers=forwarded | {"X-API-Key": keys["admin"]}).status_code == 200


def test_a_key_is_checked_before_the_body_is_looked_at(service: httpx.Client, is_problem) -> None:
    is_problem(service.post("/v1/recommendations", content=b"{"), 401, "unauthenticated")
    is_problem(service.post("/v1/similar/image", content=b"{"), 401, "unauthenticated")


def test_a_key_that_asks_too_much(service: httpx.Client, keys: dict[str, str], is_problem) -> None:
    headers = {"X-API-Key": keys["slow"]}
    answers = [service.get("/v1/items/1193", headers=headers) for _ in range(6)]
    codes = [answer.status_code for answer in answers]
    assert codes[:2] == [200, 200] and 429 in codes
    refused = answers[codes.index(429)]
    is_problem(refused, 429, "rate-limited")
    time.sleep(int(refused.headers["retry-after"]))
    assert service.get("/v1/items/1193", headers=headers).status_code == 200
    rows = [{"history": []}] * 5  # each counts; the bucket is in debt afterwards
    time.sleep(1)
    assert service.post("/v1/recommendations:batch", headers=headers, json={"requests": rows}).status_code == 200
    refused = service.get("/v1/items/1193", headers=headers)
    is_problem(refused, 429, "rate-limited")
    assert int(refused.headers["retry-after"]) >= 2


def test_a_key_counts_until_it_is_revoked_and_no_secret_is_logged(
    service: httpx.Client, keys: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with Database.open(keys["url"]) as database:
        key_id, secret = database.keys.create("short", ["read"])
        headers = {"X-API-Key": key_text(key_id, secret)}
        assert service.get("/v1/spaces", headers=headers).status_code == 200
        assert database.keys.revoke(key_id)
    deadline = time.monotonic() + 5
    while service.get("/v1/spaces", headers=headers).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert secret not in str([vars(record) for record in caplog.records])


def test_an_open_door_must_be_meant(store) -> None:
    with pytest.raises(ConfigError, match="RECSVC_AUTH to keys"):
        load_settings(store=store.path, host="0.0.0.0")
    for host, auth in (("0.0.0.0", "off"), ("0.0.0.0", "keys"), ("localhost", None), ("::1", None)):
        assert load_settings(store=store.path, host=host, auth=auth).needs_keys == (auth == "keys")


# The cache, on a clock of the test's own.

GOOD = ApiKey("good", "shop", b"", ("read",), None, datetime.now(UTC), None, None)


class Door:
    """An ``Access`` whose database and clock the test moves."""

    def __init__(self, **known: ApiKey) -> None:
        self.known, self.looked_up, self.now, self.is_down = dict(known), [], 0.0, False
        self.access = Access(self._find, required=True, clock=lambda: self.now)

    async def _find(self, key_id: str) -> ApiKey | None:
        self.looked_up.append(key_id)
        if self.is_down:
            raise ProblemError(NO_DATABASE, "")
        return self.known.get(key_id)

    def ask(self, key_id: str) -> int:
        scope = {
            "type": "http",
            "headers": [(b"x-api-key", f"rsk_{key_id}_secret".encode())],
            "app": SimpleNamespace(),
            SCOPE_KEY: RequestInfo("0" * 32),
        }
        try:
            asyncio.run(self.access.check(Request(scope), "read"))
        except ProblemError as error:
            return error.kind.status
        return 200


@pytest.fixture(autouse=True)
def any_secret(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "door" in request.node.name:
        monkeypatch.setattr(ApiKey, "matches", lambda self, secret: True)


def test_the_door_looks_a_key_up_once_a_second() -> None:
    door = Door(good=GOOD)
    assert [door.ask("good") for _ in range(3)] == [200] * 3
    assert [door.ask("none") for _ in range(3)] == [401] * 3
    assert door.looked_up == ["good", "none"]
    door.known = {"good": replace(GOOD, revoked=datetime.now(UTC)), "none": GOOD}
    door.now = 1.01
    assert (door.ask("good"), door.ask("none")) == (401, 200)


def test_the_door_without_a_database_lets_in_whom_it_knows_for_a_while() -> None:
    door = Door(good=GOOD)
    assert door.ask("good") == 200
    door.is_down, door.now = True, 200.0
    assert (door.ask("good"), door.ask("new")) == (200, 503)
    door.now = 301.0
    assert door.ask("good") == 503


def test_the_door_remembers_a_bounded_number_of_keys() -> None:
    door = Door(good=GOOD)
    assert door.ask("good") == 200
    for number in range(1500):
        assert door.ask(f"n{number}") == 401
    assert len(door.access._unknown) == 1024
    assert door.ask("good") == 200
    assert door.looked_up.count("good") == 1
