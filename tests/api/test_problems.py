"""Whatever is wrong with a request, the answer is a problem with a stable type."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.settings import Settings
from recsvc.releases import Store

JSON = {"content-type": "application/json"}
RECOMMEND, SIMILAR = "/v1/recommendations", "/v1/similar"
BATCH, EVENTS, STATES = "/v1/recommendations:batch", "/v1/events", "/v1/items:state"
DRAMA = {"attribute": "genre", "eq": "Drama"}
BOOST, PROMOTION = {"filter": DRAMA, "factor": 2.0}, {"filter": DRAMA, "share": 0.4}
EVENT = {"event_id": "e", "user_id": "u", "item_id": "1193"}


@pytest.mark.parametrize(
    ("path", "body", "loc"),
    [
        (RECOMMEND, {}, ["body"]),
        (RECOMMEND, {"history": None}, ["body", "history"]),
        (RECOMMEND, {"history": "1193"}, ["body", "history"]),
        (RECOMMEND, {"history": [1193]}, ["body", "history", 0]),
        (RECOMMEND, {"history": [None]}, ["body", "history", 0]),
        (RECOMMEND, {"history": [""]}, ["body", "history", 0]),
        (RECOMMEND, {"history": ["x" * 513]}, ["body", "history", 0]),
        (RECOMMEND, {"history": ["é" * 257]}, ["body", "history"]),
        (RECOMMEND, {"history": ["x"] * 10_001}, ["body", "history"]),
        (RECOMMEND, {"history": [], "exclude": ["x"] * 10_001}, ["body", "exclude"]),
        (RECOMMEND, {"history": [], "k": 0}, ["body", "k"]),
        (RECOMMEND, {"history": [], "k": 101}, ["body", "k"]),
        (RECOMMEND, {"history": [], "k": 10**300}, ["body", "k"]),
        (RECOMMEND, {"history": [], "k": 2.5}, ["body", "k"]),
        (RECOMMEND, {"history": [], "k": "5"}, ["body", "k"]),
        (RECOMMEND, {"history": [], "k": True}, ["body", "k"]),
        (RECOMMEND, {"history": [], "exclude_seen": "yes"}, ["body", "exclude_seen"]),
        (RECOMMEND, {"history": [], "user": "u"}, ["body", "user"]),
        (RECOMMEND, {"user_id": "u\0"}, ["body", "user_id"]),
        (RECOMMEND, {"user_id": ""}, ["body", "user_id"]),
        (RECOMMEND, {"history": [], "allow": "1193"}, ["body", "allow"]),
        (RECOMMEND, {"history": [], "filter": {"genres": "Drama"}}, ["body", "filter"]),
        (RECOMMEND, {"history": [], "filter": {"attribute": "genre"}}, ["body", "filter"]),
        (RECOMMEND, {"history": [], "diversity": 1.5}, ["body", "diversity"]),
        (RECOMMEND, {"history": [], "diversity": "1"}, ["body", "diversity"]),
        (RECOMMEND, {"history": [], "boosts": [{"factor": 2.0}]}, ["body", "boosts", 0, "filter"]),
        (RECOMMEND, {"history": [], "boosts": [BOOST | {"factor": 0}]}, ["body", "boosts", 0, "factor"]),
        (RECOMMEND, {"history": [], "boosts": [BOOST] * 9}, ["body", "boosts"]),
        (RECOMMEND, {"history": [], "promotions": [PROMOTION | {"share": 1.1}]}, ["body", "promotions", 0, "share"]),
        (RECOMMEND, {"history": [], "promotions": [PROMOTION] * 3}, ["body"]),
        (RECOMMEND, {"history": [], "strict": 1}, ["body", "strict"]),
        (RECOMMEND, {"history": [], "after": "x"}, ["body", "after"]),
        (RECOMMEND, {"history": [], "split_key": ""}, ["body", "split_key"]),
        (BATCH, {"requests": []}, ["body", "requests"]),
        (BATCH, {"requests": [{"history": []}] * 257}, ["body", "requests"]),
        (BATCH, {"requests": [{"history": []}, {"history": [], "k": 0}]}, ["body", "requests", 1, "k"]),
        (EVENTS, {"events": []}, ["body", "events"]),
        (EVENTS, {"events": [EVENT] * 1001}, ["body", "events"]),
        (EVENTS, {"events": [EVENT, EVENT | {"time": 1_700_000_000}]}, ["body", "events", 1, "time"]),
        (EVENTS, {"events": [EVENT | {"time": "2026-11-24T18:30:00"}]}, ["body", "events", 0, "time"]),
        (EVENTS, {"events": [EVENT | {"weight": -1}]}, ["body", "events", 0, "weight"]),
        (EVENTS, {"events": [EVENT | {"user_id": "a\0"}]}, ["body", "events", 0, "user_id"]),
        (EVENTS, {"events": [EVENT | {"kind": "x" * 65}]}, ["body", "events", 0, "kind"]),
        (EVENTS, {"events": [EVENT | {"recommendation_id": "x"}]}, ["body", "events", 0, "recommendation_id"]),
        (STATES, {"states": []}, ["body", "states"]),
        (STATES, {"states": [{"item_id": "1193", "available": "no"}]}, ["body", "states", 0, "available"]),
        (STATES, {"states": [{"item_id": "1193", "expires": "soon"}]}, ["body", "states", 0, "expires"]),
        (RECOMMEND, [], ["body"]),
        (RECOMMEND, "text", ["body"]),
        (RECOMMEND, None, ["body"]),
        (SIMILAR, {}, ["body"]),
        (SIMILAR, {"id": "1193", "ids": ["661"]}, ["body"]),
        (SIMILAR, {"ids": []}, ["body", "ids"]),
        (SIMILAR, {"vector": []}, ["body", "vector"]),
        (SIMILAR, {"vector": [0.0] * 4097}, ["body", "vector"]),
        (SIMILAR, {"vector": [10**400, 0, 0, 0]}, ["body", "vector", 0]),
        (SIMILAR, {"id": "1193", "space": "x" * 41}, ["body", "space"]),
        (SIMILAR, {"id": "1193", "node_type": ""}, ["body", "node_type"]),
        (SIMILAR, {"id": "1193", "node_type": ["film"]}, ["body", "node_type"]),
        (SIMILAR, {"id": "1193", "target_types": "film"}, ["body", "target_types"]),
        (SIMILAR, {"id": "1193", "target_types": []}, ["body", "target_types"]),
        (SIMILAR, {"id": "1193", "target_types": ["film"] * 65}, ["body", "target_types"]),
        (SIMILAR, {"id": "1193", "target_types": ["x" * 513]}, ["body", "target_types", 0]),
    ],
)
def test_a_request_out_of_bounds(client: httpx.Client, is_problem, path: str, body, loc: list) -> None:
    response = client.post(path, content=json.dumps(body), headers=JSON)
    problem = is_problem(response, 422, "invalid-request", with_errors=True)
    assert problem["errors"][0]["loc"] == loc


def test_what_the_client_sent_is_not_sent_back(client: httpx.Client, is_problem) -> None:
    body = {"history": ["planted-secret" * 50], "k": "planted-secret", "exclude": "planted-secret"}
    response = client.post(RECOMMEND, json=body)
    is_problem(response, 422, "invalid-request", with_errors=True)
    assert "planted" not in response.text


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(client: httpx.Client, is_problem, number: str) -> None:
    for path, body in (
        (SIMILAR, f'{{"vector": [{number}, 0, 0, 1]}}'),
        (RECOMMEND, f'{{"history": [], "k": {number}}}'),
        (RECOMMEND, f'{{"history": [], "diversity": {number}}}'),
        (RECOMMEND, f'{{"history": [], "boosts": [{{"filter": {json.dumps(DRAMA)}, "factor": {number}}}]}}'),
        (RECOMMEND, f'{{"history": [], "filter": {{"attribute": "year", "gte": {number}}}}}'),
        (EVENTS, f'{{"events": [{{"event_id": "e", "user_id": "u", "item_id": "i", "weight": {number}}}]}}'),
    ):
        is_problem(client.post(path, content=body, headers=JSON), 422, "invalid-request", with_errors=True)


@pytest.mark.parametrize(("vector", "word"), [([1.0], "needs 4 numbers"), ([0.0] * 4, "all zeros")])
def test_a_vector_that_does_not_fit_the_space(client: httpx.Client, is_problem, vector, word: str) -> None:
    assert word in is_problem(client.post(SIMILAR, json={"vector": vector}), 422, "invalid-request")["detail"]


def test_an_unknown_space(client: httpx.Client, is_problem) -> None:
    problem = is_problem(client.post(SIMILAR, json={"space": "video", "id": "1193"}), 422, "unknown-space")
    assert problem["detail"] == "The spaces of the release: behaviour, graph, image."


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"node_type": "actors"}, "no type 'actors'; the nearest is 'actor'"),
        ({"target_types": ["film", "gnre"]}, "no type 'gnre'; the nearest is 'genre'"),
        ({"target_types": ["tag"]}, "holds no vectors of the type 'tag'; it has: film, genre, actor"),
        ({"space": "image", "target_types": ["actor"]}, "holds no vectors of the type 'actor'; it has: film"),
    ],
)
def test_a_type_that_is_not_there(client: httpx.Client, is_problem, question: dict, words: str) -> None:
    response = client.post(SIMILAR, json={"space": "graph", "id": "1193", **question})
    assert words in is_problem(response, 422, "invalid-request")["detail"]


@pytest.mark.parametrize("spaces", [("graph",), ("image",), ("graph", "image")])
def test_next_items_of_a_release_that_learnt_none(
    tiny, run_service, wait_ready, is_problem, tmp_path, spaces: tuple[str, ...]
) -> None:
    store = Store(tmp_path / "store")
    store.activate(replace(tiny, spaces=spaces).publish(store), actor="test", reason="test")
    with run_service(Settings(store=store.path, poll_seconds=0.05)) as client:
        wait_ready(client)
        for body in ({"history": []}, {"history": ["1193"]}):
            problem = is_problem(client.post(RECOMMEND, json=body), 422, "unknown-space")
            assert problem["detail"] == (
                f"Next items come from the space behaviour. The spaces of the release: {', '.join(spaces)}."
            )
        is_problem(client.post(SIMILAR, json={"id": "1193"}), 422, "unknown-space")  # behaviour is asked unless said
        assert client.post(SIMILAR, json={"id": "1193", "space": spaces[0]}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"\xff\xfe", b'{"history": [}', b"nul", b"[" * 20_000, b'{"k": ' + b"9" * 10_000 + b"}"),
        *(b'{"history": [], "filter": ' + b'{"not": ' * 300 + b"{" + b"}" * 302, b'{"history": ["\\ud800"]}'),
        *(b'{"history": [], "history": ["1193"]}', b'{"history": [], "\\u0068istory": ["1193"]}'),
        b'{"history": [], "filter": {"attribute": "genre", "eq": "Drama", "eq": "Noir"}}',
        b'{"history": ["' + b"\xc3" + b'"]}',
    ],
)
def test_a_body_that_is_no_json(client: httpx.Client, is_problem, body: bytes) -> None:
    is_problem(client.post(RECOMMEND, content=body, headers=JSON), 400, "malformed-body")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "", "application/x-www-form-urlencoded"])
def test_a_body_of_another_type(client: httpx.Client, is_problem, content_type: str) -> None:
    response = client.post(RECOMMEND, content=b'{"history": []}', headers={"content-type": content_type})
    is_problem(response, 415, "unsupported-media-type")


def test_json_by_its_other_names_is_read(client: httpx.Client) -> None:
    for content_type in ("application/json; charset=utf-8", "application/vnd.shop+json", "APPLICATION/JSON"):
        headers = {"content-type": content_type}
        assert client.post(RECOMMEND, content=b'{"history": []}', headers=headers).status_code == 200


def test_a_missing_body(client: httpx.Client, is_problem) -> None:
    is_problem(client.post(RECOMMEND), 422, "invalid-request", with_errors=True)


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/recommendations", "/v1/recommendations/", "/v1/items"])
def test_an_unknown_route(client: httpx.Client, is_problem, path: str) -> None:
    is_problem(client.post(path, json={}), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", RECOMMEND), ("DELETE", "/v1/items/1193"), ("PUT", SIMILAR), ("POST", "/livez")]
)
def test_a_method_that_the_route_has_not(client: httpx.Client, is_problem, method: str, path: str) -> None:
    response = client.request(method, path)
    is_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"]


def test_a_method_that_several_routes_of_a_path_have_not(client: httpx.Client, is_problem) -> None:
    response = client.put("/v1/users/Ada")
    is_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "DELETE, GET"


def test_a_body_that_says_it_is_too_large(client: httpx.Client, is_problem) -> None:
    is_problem(client.post(RECOMMEND, content=b" " * 100_001, headers=JSON), 413, "body-too-large")
    assert client.post(RECOMMEND, content=b'{"history":[]}'.ljust(100_000), headers=JSON).status_code == 200


def test_a_body_that_turns_out_to_be_too_large(client: httpx.Client, is_problem) -> None:
    def chunks(count: int) -> Iterator[bytes]:  # sent without a Content-Length
        yield b'{"history": []'
        yield from (b" " * 1000 for _ in range(count))
        yield b"}"

    assert client.post(RECOMMEND, content=chunks(99), headers=JSON).status_code == 200
    is_problem(client.post(RECOMMEND, content=chunks(100), headers=JSON), 413, "body-too-large")


@pytest.mark.parametrize("length", [b"99999999999999999999999", b"-1", b"many"])
def test_a_length_that_is_none(client, is_problem, length: bytes) -> None:
    # The server's parser refuses some of these by itself, so the application is asked without it.
    sent: list[dict] = []

    async def receive() -> dict:
        raise AssertionError("the body must not be read")

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    scope = {"type": "http", "method": "POST", "path": RECOMMEND, "headers": headers, "query_string": b""}
    asyncio.run(client.app(scope, receive, send))
    response = httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=sent[1]["body"])
    is_problem(response, 413, "body-too-large")


def test_an_error_of_ours_says_nothing_about_itself(
    client, is_problem, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = client.app.state.engine
    monkeypatch.setattr(engine.recommender, "item", lambda item_id: {}[item_id])
    is_problem(client.get("/v1/items/planted-secret"), 500, "internal-error")
    assert "planted-secret" not in str([vars(record) for record in caplog.records])
    (record,) = [record for record in caplog.records if record.getMessage() == "failure"]
    assert record.fields["error"] == "KeyError"
    assert "get_item" in str(record.fields["at"])


def test_a_release_that_fails_names_no_file_to_the_client(
    client, is_problem, monkeypatch: pytest.MonkeyPatch, store
) -> None:
    def fail(item_id: str) -> None:
        from recsvc.errors import ReleaseError

        raise ReleaseError(f"{store.path}/catalogue.sqlite cannot be read.")

    monkeypatch.setattr(client.app.state.engine.recommender, "item", fail)
    response = client.get("/v1/items/1193")
    is_problem(response, 500, "release-failed")
    assert str(store.path) not in response.text


# Fuzz: JSON of the right shape and of any shape, odd keys, large numbers, control characters, lone surrogates.

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["1193", "\x00", "\r\nX-Planted: 1", "\x1b[31m", "\ud800", "'; DROP TABLE items;--", "a/b c"]),
)
NUMBERS = st.one_of(st.integers(-5, 120), st.integers(), st.floats(), st.sampled_from([10**25, -(2**63), 2**64, 1e308]))
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
FIELD = st.one_of(ANYTHING, st.lists(TEXTS, max_size=8), st.lists(st.floats(-2, 2), min_size=4, max_size=4))
FIELDS = [
    *("history", "k", "exclude", "exclude_seen", "space", "id", "ids", "vector", "node_type", "target_types", "x"),
    *("filter", "allow", "diversity", "diversity_space", "boosts", "promotions", "strict", "explain", "after"),
    *("user_id", "split_key", "requests", "events", "states"),
]
BODIES = st.dictionaries(st.sampled_from(FIELDS), FIELD, max_size=5) | ANYTHING


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from([RECOMMEND, SIMILAR, BATCH, EVENTS, STATES, "/v1/releases:split"]), body=BODIES)
def test_any_json_gets_an_answer_or_a_problem(client: httpx.Client, is_problem, path: str, body) -> None:
    response = client.post(path, content=json.dumps(body), headers=JSON)
    if response.status_code == 200:
        assert len(response.json().get("items", [])) <= 100
        assert "x-planted" not in response.headers
    else:
        assert response.status_code in (400, 422)  # 400: lone surrogates
        slug = response.json()["type"].rpartition(":")[2]
        is_problem(response, response.status_code, slug, with_errors="errors" in response.json())


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60))
def test_any_bytes_get_an_answer_or_a_problem(client: httpx.Client, is_problem, body: bytes) -> None:
    response = client.post(RECOMMEND, content=body, headers=JSON)
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"
