"""What is planted in requests stands in no log line, no metric and no problem: keys, ids, histories, query strings."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsvc.events import Database, key_text

PLANTED = "planted7secret"
TEXTS = {name: f"{PLANTED} {name}" for name in ("user", "item", "event", "kind", "split", "value", "space", "release")}


@pytest.fixture
def guarded(served, store, tmp_path: Path) -> Iterator:
    """A service that asks for keys, with the texts of a good, a bad, a revoked and an expired one."""
    url = f"sqlite:///{tmp_path / 'events.sqlite'}"
    with Database.open(url) as database:
        keys = {name: key_text(*database.keys.create(name, ["admin"])) for name in ("good", "revoked")}
        soon = datetime.now(UTC) + timedelta(seconds=1)  # the service takes longer to begin
        keys["expired"] = key_text(*database.keys.create("expired", ["admin"], expires=soon))
        database.keys.revoke(keys["revoked"].split("_")[1])
    keys["bad"] = f"rsk_0123456789abcdef_{PLANTED}"
    keys["strange"] = f"{PLANTED}-no-key"
    with served(store.path, auth="keys", database=url) as service:
        yield service, keys


def test_nothing_that_was_planted_is_told(guarded) -> None:
    service, keys = guarded
    event = {"event_id": TEXTS["event"], "user_id": TEXTS["user"], "item_id": TEXTS["item"], "kind": TEXTS["kind"]}
    condition = {"attribute": "genre", "eq": TEXTS["value"]}
    bodies = [
        ("/v1/recommendations", {"history": [TEXTS["item"]], "split_key": TEXTS["split"], "filter": condition}),
        ("/v1/recommendations", {"user_id": TEXTS["user"], "exclude": [TEXTS["item"]]}),
        ("/v1/recommendations", {"history": [TEXTS["item"]], "k": TEXTS["value"]}),
        ("/v1/recommendations", {"history": [TEXTS["item"]], "after": "0" * 32}),
        ("/v1/recommendations:batch", {"requests": [{"history": [TEXTS["item"]]}, {"user_id": TEXTS["user"]}]}),
        ("/v1/similar", {"id": TEXTS["item"]}),
        ("/v1/events", {"events": [event]}),
        ("/v1/events", {"events": [event | {"item_id": TEXTS["item"] + " other"}]}),
        ("/v1/events", {"events": [event | {"event_id": "late", "time": "2999-01-01T00:00:00Z"}]}),
        ("/v1/items:state", {"states": [{"item_id": TEXTS["item"], "available": False}]}),
    ]
    gets = [f"/v1/users/{TEXTS['user']}", f"/v1/items/{TEXTS['item']}", f"/{PLANTED}", f"/livez?q={PLANTED}"]
    told: list[str] = []
    with service.client() as client:
        for key in (*keys.values(), None):
            headers = {"user-agent": PLANTED, "cookie": PLANTED, "referer": PLANTED, "x-request-id": PLANTED}
            headers |= {} if key is None else {"x-api-key": key}
            for path, body in bodies:
                for query in ("", f"?token={PLANTED}"):
                    answer = client.post(path + query, json=body, headers=headers)
                    assert answer.status_code in (200, 401, 404, 422), answer.text
                    if answer.status_code != 200:
                        told.append(answer.text)
                client.post(path, content=json.dumps(body)[:-3], headers=headers)
            for path in gets:
                told += [client.get(path, headers=headers).text] if path == f"/{PLANTED}" else []
                client.get(path, headers=headers)
            client.delete(gets[0], headers=headers)
            for path in (f"/v1/releases/{PLANTED}:activate", "/v1/releases:split"):
                client.post(path, json={"shares": {PLANTED: 1.0}, "reason": PLANTED}, headers=headers)
            client.post(
                "/v1/similar/image",
                files={"image": (PLANTED, b"x")},
                data={"exclude": TEXTS["item"], "space": TEXTS["space"]},
                headers=headers,
            )
        with service.connect() as connection:  # what is no HTTP
            connection.sendall(f"{PLANTED} / HTTP/1.1\r\n\r\n".encode())
            told.append(connection.recv(10_000).decode())
        told.append(client.get("/metrics").text)
    assert service.stop() == 0
    log = service.text
    assert log.count('"event":"request"') > 100
    for text in (*told, log):
        assert PLANTED not in text
        for key in keys.values():
            assert key not in text and key.split("_")[-1] not in text


def test_a_password_of_the_database_is_not_told(served, store) -> None:
    url = f"postgresql+psycopg://recsvc:{PLANTED}@127.0.0.1:1/nowhere"
    with served(store.path, database=url) as service, service.client() as client:
        answer = client.get("/v1/users/u")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:recsvc:problem:no-database")
        assert PLANTED not in answer.text + client.get("/metrics").text
        assert client.post("/v1/recommendations", json={"history": ["1193"]}).status_code == 200
    assert '"no database"' in service.text
    assert PLANTED not in service.text
