"""Stored people over HTTP, on SQLite and on PostgreSQL: events, histories, next pages, states, deletion; replicas."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from api.settings import Settings

RECOMMEND, BATCH, EVENTS, STATES = "/v1/recommendations", "/v1/recommendations:batch", "/v1/events", "/v1/items:state"


@pytest.fixture
def settings(store, empty_url: str) -> Settings:
    return Settings(store=store.path, database=empty_url, poll_seconds=0.05)


@pytest.fixture
def service(settings: Settings, run_service, wait_ready) -> Iterator[httpx.Client]:
    with run_service(settings) as client:
        wait_ready(client)
        wait_for_database(client)
        yield client


def event(number: int, item_id: str, user_id: str = "Ada", **other) -> dict:
    return {"event_id": f"e{number}", "user_id": user_id, "item_id": item_id, **other}


def record(client: httpx.Client, *events: dict) -> dict:
    answer = client.post(EVENTS, json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


def test_an_event_is_in_the_next_answer_and_a_deletion_too(service: httpx.Client, tiny) -> None:
    history: list[str] = []
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number, item_id in enumerate(["1193", "661", "Zoë 🎬", "a/b c", "661"]):
        when = (start + timedelta(minutes=number)).isoformat()
        assert record(service, event(number, item_id, time=when))["accepted"] == 1
        history.append(item_id)
        found = service.post(RECOMMEND, json={"user_id": "Ada", "k": 12})
        assert ids(found) == [item_id for item_id, _ in tiny.next_items(history, 12)]
        assert found.json()["source"] == "model"
    both = service.post(RECOMMEND, json={"user_id": "Ada", "history": ["item-1"], "k": 12})
    assert ids(both) == [item_id for item_id, _ in tiny.next_items([*history, "item-1"], 12)]

    forgotten = service.delete("/v1/users/Ada").json()
    assert (forgotten["user_id"], forgotten["events"]) == ("Ada", 5)
    after = service.post(RECOMMEND, json={"user_id": "Ada", "k": 12}).json()
    assert after["source"] == "popular"
    assert service.get("/v1/users/Ada").json()["events"] == []
    again = record(service, event(0, "1193", time=start.isoformat()))  # a client that sends again brings nobody back
    assert (again["rejected"], again["rejections"][0]["reason"]) == (1, "is from before its user was forgotten")


def test_events_are_idempotent(service: httpx.Client) -> None:
    time_ = "2026-03-01T12:00:00+01:00"
    batch = [event(1, "1193", time=time_), event(2, "661", time=time_), event(1, "1193", time=time_)]
    assert record(service, *batch) == {"accepted": 2, "duplicate": 1, "rejected": 0, "rejections": []}
    assert record(service, *batch) == {"accepted": 0, "duplicate": 3, "rejected": 0, "rejections": []}
    differs = record(service, event(1, "914", time=time_), event(3, "914", time="2999-01-01T00:00:00Z"))
    assert (differs["accepted"], differs["duplicate"], differs["rejected"]) == (0, 1, 1)
    assert [(row["index"], row["event_id"], row["status"]) for row in differs["rejections"]] == [
        (0, "e1", "duplicate"),
        (1, "e3", "rejected"),
    ]
    assert "future" in differs["rejections"][1]["reason"]
    # One without a time of its own is the same event when it is sent again.
    assert record(service, event(4, "914"))["accepted"] == 1
    assert record(service, event(4, "914")) == {"accepted": 0, "duplicate": 1, "rejected": 0, "rejections": []}
    stored = [row["event_id"] for row in service.get("/v1/users/Ada").json()["events"]]
    assert sorted(stored) == ["e1", "e2", "e4"]


def test_a_history_is_read_page_by_page(service: httpx.Client, is_problem) -> None:
    moments = ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.001Z"]  # many at one instant
    rows = [event(n, f"i{n}", "a/b ?ü", time=moments[n % 2], weight=n / 2, kind="buy") for n in range(25)]
    assert record(service, *rows)["accepted"] == 25
    url, pages, cursor = "/v1/users/a%2Fb%20%3F%C3%BC", [], None
    while True:
        page = service.get(url, params={"limit": 10} | ({"cursor": cursor} if cursor else {})).json()
        assert page["user_id"] == "a/b ?ü"
        pages.append(page["events"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [len(page) for page in pages] == [10, 10, 5]
    found = [row["event_id"] for page in pages for row in page]
    assert found == [f"e{n}" for n in [*range(23, 0, -2), *range(24, -1, -2)]]
    assert pages[0][0] | {"time": None} == {
        "event_id": "e23",
        "item_id": "i23",
        "kind": "buy",
        "time": None,
        "weight": 11.5,
        "recommendation_id": None,
    }
    for wrong in ({"cursor": "x"}, {"limit": 0}, {"limit": 201}, {"limit": "many"}):
        is_problem(service.get(url, params=wrong), 422, "invalid-request", with_errors=True)
    assert service.get("/v1/users/nobody").json() == {"user_id": "nobody", "events": [], "next_cursor": None}
    is_problem(service.get("/v1/users/%00"), 422, "invalid-request", with_errors=True)


def test_a_chain_of_pages_repeats_nothing(service: httpx.Client, tiny, is_problem) -> None:
    question = {"history": ["1193"], "k": 9}
    seen: list[str] = []
    after = {}
    while True:
        answer = service.post(RECOMMEND, json=question | after)
        page = ids(answer)
        seen += page
        if len(page) < 9:
            break
        assert answer.json()["unknown"] == []
        after = {"after": answer.json()["recommendation_id"]}
    assert len(seen) == len(set(seen)) == len(tiny.ids) - 1
    is_problem(service.post(RECOMMEND, json=question | {"after": "0" * 32}), 404, "unknown-recommendation")


def test_states_keep_items_out(service: httpx.Client) -> None:
    before = ids(service.post(RECOMMEND, json={"history": ["1193"], "k": 3}))
    moment = datetime.now(UTC).replace(microsecond=500_000) + timedelta(seconds=1)
    soon = moment.isoformat().replace("+00:00", "Z")
    states = [{"item_id": before[0], "available": False}, {"item_id": before[1], "expires": soon}]
    assert service.post(STATES, json={"states": states}).json() == {"updated": 2}
    after = ids(service.post(RECOMMEND, json={"history": ["1193"], "k": 30}))
    assert before[0] not in after and before[1] in after
    states_of = [service.get(f"/v1/items/{item_id}").json() for item_id in before[:2]]
    assert [(state["available"], state["expires"]) for state in states_of] == [(False, None), (True, soon)]
    wait_for(lambda: before[1] not in ids(service.post(RECOMMEND, json={"history": ["1193"], "k": 30})))
    expired = service.get(f"/v1/items/{before[1]}").json()
    assert (expired["available"], expired["expires"]) == (False, soon)
    back = [{"item_id": item_id} for item_id in before[:2]]
    service.post(STATES, json={"states": back})
    assert ids(service.post(RECOMMEND, json={"history": ["1193"], "k": 3})) == before


def test_a_batch_answers_every_row_for_itself(service: httpx.Client, tiny) -> None:
    record(service, event(1, "1193", "Ada"), event(2, "661", "Bob"))
    rows = [
        {"user_id": "Ada", "k": 4},
        {"history": ["661"], "k": 4},
        {"user_id": "Bob", "k": 4},
        {"history": ["1193"], "filter": {"attribute": "gnre", "eq": "Drama"}},
        {"history": ["1193"], "after": "0" * 32},
        {"history": ["1193"], "diversity_space": "video", "diversity": 0.5},
        *({"history": [item_id], "k": 2} for item_id in tiny.ids),
    ]
    answer = service.post(BATCH, json={"requests": rows})
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert len(results) == len(rows)
    slugs = [row.get("type", "").rpartition(":")[2] for row in results[3:6]]
    assert slugs == ["invalid-request", "unknown-recommendation", "unknown-space"]
    for row, result in zip(rows, results, strict=True):
        if "items" in result:
            alone = service.post(RECOMMEND, json=row)
            assert ids(alone) == [item["item_id"] for item in result["items"]]
    names = [row.get("recommendation_id", row.get("instance")) for row in results]
    assert len(set(names)) == len(names)
    second = {"history": ["661"], "k": 4, "after": results[1]["recommendation_id"]}
    assert not set(ids(service.post(RECOMMEND, json=second))) & {item["item_id"] for item in results[1]["items"]}


def test_clicks_are_counted_by_release(service: httpx.Client, release: str) -> None:
    answer = service.post(RECOMMEND, json={"history": ["1193"]}).json()
    named = {"recommendation_id": answer["recommendation_id"], "kind": "click"}
    shown = answer["items"][0]["item_id"]
    record(service, event(1, shown, **named), event(2, "not shown", **named), event(3, shown, kind="click"))
    record(service, event(1, shown, **named))  # sent again: counted once
    text = service.get("/metrics").text
    assert f'recsvc_attributed_events_total{{kind="click",release="{release}"}} 1.0' in text
    assert 'recsvc_events_total{outcome="accepted"} 3.0' in text


def test_two_replicas_share_pages_states_and_people(settings: Settings, run_service, wait_ready) -> None:
    with run_service(settings) as one, run_service(settings) as other:
        for replica in (one, other):
            wait_ready(replica)
            wait_for_database(replica)
        replicas = [one, other]
        seen: list[str] = []
        question: dict = {"user_id": "Ada", "k": 5}
        record(one, event(1, "1193"))
        for number in range(4):  # at once: the answer may not have been written yet
            answer = replicas[number % 2].post(RECOMMEND, json=question)
            seen += ids(answer)
            question["after"] = answer.json()["recommendation_id"]
        assert len(seen) == len(set(seen)) == 20
        one.post(STATES, json={"states": [{"item_id": seen[0], "available": False}]})
        everything = {"history": ["1193"], "k": 60}
        wait_for(lambda: seen[0] not in ids(other.post(RECOMMEND, json=everything)))
        other.delete("/v1/users/Ada")
        assert one.post(RECOMMEND, json={"user_id": "Ada"}).json()["source"] == "popular"


def wait_for_database(client: httpx.Client) -> None:
    """Ready is said without a database that takes long to open: histories in a body need none."""
    wait_for(lambda: client.get("/v1/items/1193").json()["available"] is not None)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
