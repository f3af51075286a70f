"""Both clients against the real service: every method, and what its problems become."""

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from recsvc.client import (
    AsyncClient,
    Boost,
    Client,
    Event,
    ItemState,
    Promotion,
    Question,
    Recommendations,
    Retries,
    ServiceError,
)
from recsvc.errors import RecsvcError, RequestError
from recsvc.search.filters import parse_filter

DRAMA = {"attribute": "genre", "eq": "Drama"}


def ids(answer) -> list[str]:
    return [item.item_id for item in answer.items]


@pytest.fixture(params=["waiting", "awaited"])
def call(request: pytest.FixtureRequest, service, client):
    """Calls a method by its name, on either client."""

    def waiting(name: str, *arguments, **named):
        return getattr(client, name)(*arguments, **named)

    def awaited(name: str, *arguments, **named):
        async def work():
            # Certificates take long to load, and are not needed here.
            async with AsyncClient(service.url, transport=httpx.AsyncHTTPTransport(verify=False)) as awaiting:
                return await getattr(awaiting, name)(*arguments, **named)

        return asyncio.run(work())

    return waiting if request.param == "waiting" else awaited


def test_next_items(call, tiny) -> None:
    answer = call("recommend", ["1193", "661", "no such"], k=5)
    assert ids(answer) == [item_id for item_id, _ in tiny.next_items(["1193", "661"], 5)]
    assert (answer.unknown, answer.source) == (["no such"], "model")
    assert answer.items[0].reason == "sequence" and answer.items[0].attributes["genre"] == ["Drama", "Noir"]
    assert len(answer.recommendation_id) == 32


def test_every_option_of_a_question_reaches_the_service(call) -> None:
    years = parse_filter({"attribute": "year", "gte": 1900, "lt": 1912})
    boost = Boost(filter={"attribute": "item_id", "eq": "914"}, factor=1e6)
    answer = call(
        *("recommend", ["100%", "1193"]),
        **{"k": 4, "filter": years, "boosts": [boost], "exclude": ["661"], "explain": True, "diversity_space": "graph"},
    )
    assert ids(answer)[0] == "914" and "661" not in ids(answer)
    assert all(1900 <= int(item.attributes["year"]) < 1912 for item in answer.items)
    causes = {cause.item_id for cause in answer.items[1].because}
    assert causes and causes <= {"100%", "1193"}
    assert set(ids(call("recommend", ["1193"], k=4, allow=["661", "914"]))) == {"661", "914"}
    promoted = call(
        "recommend", [], k=2, promotions=[Promotion(filter={"attribute": "item_id", "eq": "q?x#y&z"}, share=0.5)]
    )
    assert ("q?x#y&z", "promoted") in [(item.item_id, item.reason) for item in promoted.items]
    assert call("recommend", ["a", "b"], strict=True).source == "none"
    assert "1193" in ids(call("recommend", ["1193"], k=100, exclude_seen=False, diversity=0.5, split_key="x"))


def test_pages_go_on_without_repeating(call) -> None:
    whole = ids(call("recommend", ["1193"], k=30, filter=DRAMA))
    page = call("recommend", ["1193"], k=10, filter=DRAMA)
    second = call("next_page", page)
    third = call("next_page", second, k=5)
    assert [len(each.items) for each in (page, second, third)] == [10, 10, 5]
    assert ids(page) + ids(second) + ids(third) == whole[:25]


def test_many_questions_at_once(call) -> None:
    good, bad = Question(["1193"], k=3), Question(["1193"], filter={"attribute": "genres", "eq": "Drama"})
    first, second, third = call("recommend_many", [good, bad, Question([])])
    assert isinstance(first, Recommendations) and len(first.items) == 3
    assert isinstance(second, ServiceError) and second.status == 422 and "'genre'" in second.detail
    assert isinstance(third, Recommendations) and third.source == "popular"
    assert len(call("next_page", first).items) == 3


def test_neighbours_by_id_ids_vector_and_picture(call, tiny, tmp_path: Path) -> None:
    assert "661" not in ids(call("similar", "661"))
    assert len(call("similar", ids=["661", "914"], k=3, filter=DRAMA).items) == 3
    assert call("similar", vector=tiny.vectors[0].tolist(), k=1).space == "behaviour"
    actors = call("similar", "1193", space="graph", target_types=["actor"], k=2)
    assert {item.node_type for item in actors.items} == {"actor"}
    (tmp_path / "a.png").write_bytes(tiny.pictures["1193"])
    for image in (tiny.pictures["1193"], tmp_path / "a.png", str(tmp_path / "a.png")):
        found = call("similar_image", image, k=3, filter=DRAMA, exclude=["661", "914"], diversity=0.0)
        assert ids(found)[0] == "1193" and not {"661", "914"} & set(ids(found))


def test_events_make_a_history_until_they_are_forgotten(call) -> None:
    user = f"user/{uuid4()} ?#%"
    then = datetime.now(UTC) - timedelta(days=1)
    events = [
        Event(user_id=user, item_id="1193", time=then),
        Event(user_id=user, item_id="661", kind="buy", time=then + timedelta(hours=1), weight=2.5),
    ]
    assert call("send_events", events).accepted == 2
    assert call("send_events", iter(events)).duplicate == 2
    late = call("send_events", [Event(user_id=user, item_id="914", time=datetime.now(UTC) + timedelta(days=1))])
    assert (late.rejected, late.rejections[0].index) == (1, 0)
    page = call("user", user, limit=1)
    assert [(event.item_id, event.kind, event.weight) for event in page.events] == [("661", "buy", 2.5)]
    assert page.events[0].time.tzinfo is not None
    rest = call("user", user, cursor=page.next_cursor)
    assert ([event.item_id for event in rest.events], rest.next_cursor) == (["1193"], None)
    assert ids(call("recommend", user_id=user, k=5)) == ids(call("recommend", ["1193", "661"], k=5))
    assert call("forget", user).events == 2
    assert call("user", user).events == []


@pytest.mark.parametrize("user", [".", "..", "../../livez", "/", "a/./b", "%2e%2e"])
def test_an_id_is_one_step_of_a_path_whatever_it_is(call, user: str) -> None:
    assert call("send_events", [Event(user_id=user, item_id="661")]).accepted == 1
    assert [event.item_id for event in call("user", user).events] == ["661"]
    assert call("forget", user).user_id == user


def test_items_and_their_states(call, tiny) -> None:
    for item_id in tiny.ids:
        assert call("item", item_id).item_id == item_id
    assert call("set_states", [ItemState(item_id="914", available=False)]) == 1
    assert call("item", "914").available is False
    assert "914" not in ids(call("recommend", [], k=100))
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)  # milliseconds are kept
    assert call("set_states", [ItemState(item_id="914", expires=soon)]) == 1
    item = call("item", "914")
    assert (item.available, item.expires) == (True, soon)


def test_releases_are_listed_and_changed(call, store) -> None:
    newest, oldest = call("releases").releases
    assert (newest.damage, newest.metrics) == (None, {"ndcg@10": 0.1})
    assert [active.id for active in call("activate", oldest.id, reason="trial")] == [oldest.id]
    assert {active.id: active.share for active in call("split", {newest.id: 0.75, oldest.id: 0.25})} == {
        newest.id: 0.75,
        oldest.id: 0.25,
    }
    assert [active.share for active in call("rollback")] == [1.0]
    call("activate", newest.id)
    assert call("spaces").spaces[0].name == "behaviour"


def test_health(call, store) -> None:
    assert call("alive") is True
    assert call("ready") in [release.id for release in call("releases").releases]
    assert "# TYPE" in call("metrics")


def test_a_problem_is_an_error_with_all_that_it_says(call) -> None:
    with pytest.raises(ServiceError, match=r"^The service answered 422: .*body\.k: ") as caught:
        call("recommend", ["1193"], k=0)
    error = caught.value
    assert isinstance(error, RecsvcError)
    assert (error.type, error.status) == ("urn:recsvc:problem:invalid-request", 422)
    assert error.request_id is not None and len(error.request_id) == 32
    assert error.retry_after is None
    with pytest.raises(ServiceError) as caught:
        call("item", "no such item")
    assert caught.value.type == "urn:recsvc:problem:unknown-item"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("item", [""], "1 to 512 bytes"),
        ("user", ["é" * 257], "1 to 512 bytes"),
        ("item", ["\ud800"], "no valid Unicode"),
        ("similar_image", ["/no/such.png"], r"/no/such\.png cannot be read: No such file"),
    ],
)
def test_what_cannot_be_sent_is_said_in_a_sentence(call, name: str, arguments: list, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        call(name, *arguments)


def test_what_is_no_json_is_said_in_a_sentence(call) -> None:
    with pytest.raises(RequestError, match="cannot be written as JSON"):
        call("recommend", [], diversity=float("nan"))
    with pytest.raises(RequestError, match="cannot be written as JSON"):
        call("recommend", [], filter={"attribute": "year", "eq": object()})


def test_tasks_share_a_client(service) -> None:
    async def work() -> list:
        async with AsyncClient(service.url, retries=Retries(count=0)) as client:
            return await asyncio.gather(*(client.recommend(["1193"], k=number) for number in range(1, 21)))

    assert [len(answer.items) for answer in asyncio.run(work())] == list(range(1, 21))


def test_what_both_clients_give_is_typed_as_it_is(service) -> None:
    with Client(service.url) as client:
        assert inspect.signature(client.user).return_annotation.__args__[0].__name__ == "User"
        assert not inspect.iscoroutinefunction(client.user)
    assert inspect.iscoroutinefunction(AsyncClient(service.url).user)
