"""What the routes answer, against brute force over the tiny release."""

import re
from collections import Counter
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.answers import Boost, Promotion


def pairs(answer: dict) -> list:
    return [(item["item_id"], pytest.approx(item["score"], abs=1e-4)) for item in answer["items"]]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_recommendations_equal_brute_force(client: httpx.Client, tiny, release: str, data: st.DataObject) -> None:
    ids = st.sampled_from([*tiny.ids, "nobody", "knows"])
    history = data.draw(st.lists(ids, max_size=20))
    exclude = data.draw(st.lists(ids, max_size=10))
    k = data.draw(st.integers(1, 100))
    seen = data.draw(st.booleans())
    question = {"history": history, "k": k, "exclude": exclude, "exclude_seen": seen}
    response = client.post("/v1/recommendations", json=question)
    assert response.status_code == 200
    answer = response.json()
    assert pairs(answer) == tiny.next_items(history, k, exclude, seen)
    reasons = [item["reason"] for item in answer["items"]]
    assert answer["source"] == {"sequence": "model"}.get(reasons[0], reasons[0])
    assert set(reasons) <= {tiny.rankings(history)[0][0], "popular"}
    assert answer["release"] == release
    near = tiny.newest_content(history) if answer["source"] == "content" else None  # the space that was read
    read = tiny.behaviour if near is None else near[0]
    assert set(answer["unknown"]) == {x for x in history if read.row_of(x) is None} | (set(exclude) - set(tiny.ids))


def test_every_answer_names_itself_and_is_not_cached(client: httpx.Client, tiny) -> None:
    first, second = (client.post("/v1/recommendations", json={"history": ["1193"]}) for _ in range(2))
    assert first.json()["recommendation_id"] != second.json()["recommendation_id"]
    for response in (first, second):
        assert response.headers["x-request-id"] == response.json()["recommendation_id"]
        assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
        assert response.headers["cache-control"] == "private, no-store"
        assert len(response.json()["items"]) == 10
        for item in response.json()["items"]:
            assert item["node_type"] == "film"
            assert item["title"] == tiny.title(item["item_id"])
            assert item["attributes"] == tiny.attributes(item["item_id"])


@pytest.mark.parametrize("history", [[], ["nobody"]])
def test_a_history_without_a_known_item_is_answered_from_popularity(
    client: httpx.Client, tiny, history: list[str]
) -> None:
    answer = client.post("/v1/recommendations", json={"history": history, "k": 100}).json()
    assert answer["source"] == "popular"
    assert pairs(answer) == tiny.next_items(history, 100)
    assert len(answer["items"]) == len(tiny.ids)
    assert answer["unknown"] == history


def test_similar_by_id_ids_and_vector_equal_brute_force(client: httpx.Client, tiny, release: str) -> None:
    unit = tiny.unit_vectors()
    middle = unit[[tiny.row_of("1193"), tiny.row_of("661")]].mean(axis=0)
    vector = [0.5, -3.0, 0.0, 1e-3]
    for question, query, exclude, unknown in [
        ({"id": "661", "k": 7}, unit[tiny.row_of("661")], ["661"], []),
        ({"ids": ["1193", "nobody", "661"], "k": 100}, middle, ["1193", "661"], ["nobody"]),
        ({"vector": vector, "exclude": ["914"], "k": 5}, np.array(vector), ["914"], []),
    ]:
        answer = client.post("/v1/similar", json=question).json()
        assert pairs(answer) == tiny.similar(query, question["k"], exclude)
        assert {item["reason"] for item in answer["items"]} == {"similar"}
        assert (answer["release"], answer["space"], answer["source"]) == (release, "behaviour", "model")
        assert answer["unknown"] == unknown


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_similar_in_the_graph_equals_brute_force(client: httpx.Client, tiny, data: st.DataObject) -> None:
    types = ["film", "genre", "actor"]
    node_type, asked = data.draw(st.sampled_from(tiny.graph.things))
    target_types = data.draw(st.none() | st.lists(st.sampled_from(types), min_size=1, max_size=3))
    k = data.draw(st.integers(1, 100))
    question = {"space": "graph", "id": asked, "k": k, "node_type": node_type, "target_types": target_types}
    if node_type == "film" and data.draw(st.booleans()):
        del question["node_type"]
    answer = client.post("/v1/similar", json=question).json()
    query = tiny.graph.vectors[tiny.graph.row_of(asked, node_type)]
    wanted = [node_type] if target_types is None else target_types
    expected = tiny.graph.nearest(query, k, [(node_type, asked)], wanted)
    assert [(item["node_type"], item["item_id"], item["score"]) for item in answer["items"]] == expected
    assert (answer["space"], answer["unknown"], answer["source"]) == ("graph", [], "model")


def test_similar_by_picture_of_the_catalogue(client: httpx.Client, tiny) -> None:
    unit = tiny.image.unit_vectors()
    for item_id in list(tiny.pictures)[:5]:
        answer = client.post("/v1/similar", json={"space": "image", "id": item_id, "k": 50}).json()
        expected = tiny.image.nearest(unit[tiny.image.row_of(item_id)], 50, [("film", item_id)])
        assert pairs(answer) == [(found, score) for _, found, score in expected]
        assert {item["node_type"] for item in answer["items"]} == {"film"}


@pytest.mark.parametrize(
    ("space", "item_id"), [("behaviour", "item-3"), ("graph", "item-4"), ("image", "item-2"), ("graph", "nobody")]
)
def test_similar_to_nothing_known_is_empty_and_says_so(client: httpx.Client, space: str, item_id: str) -> None:
    """An item without a history, a walk or a picture is unknown to that space, as is what is in no space."""
    answer = client.post("/v1/similar", json={"space": space, "id": item_id})
    assert answer.status_code == 200
    assert (answer.json()["items"], answer.json()["unknown"]) == ([], [item_id])
    known = client.post("/v1/similar", json={"space": space, "ids": [item_id, "1193"]}).json()
    alone = client.post("/v1/similar", json={"space": space, "id": "1193"}).json()
    assert (known["items"], known["unknown"]) == (alone["items"], [item_id])


def test_an_item_is_found_whatever_its_id(client: httpx.Client, tiny, release: str) -> None:
    for item_id in tiny.ids:
        # Both as careful clients write it, and with its slashes left alone.
        for path in {quote(item_id, safe=""), quote(item_id)}:
            answer = client.get(f"/v1/items/{path}")
            assert answer.status_code == 200, item_id
            assert answer.json() == {
                "release": release,
                "item_id": item_id,
                "title": tiny.title(item_id),
                "attributes": tiny.attributes(item_id),
                "popularity": int(tiny.popularity[tiny.ids.index(item_id)]),
                "available": True,
                "expires": None,
            }


@pytest.mark.parametrize("path", ["nobody", "Drama", "1193/", "/1193", "%00", "%FF", "1193%0A", "v1/items/1193"])
def test_an_unknown_item_is_a_problem(client: httpx.Client, is_problem, path: str) -> None:
    is_problem(client.get(f"/v1/items/{path}"), 404, "unknown-item")


def test_an_id_out_of_bounds_is_a_problem(client: httpx.Client, is_problem) -> None:
    for path in ("", "x" * 513, quote("é" * 257)):
        problem = is_problem(client.get(f"/v1/items/{path}"), 422, "invalid-request", with_errors=True)
        assert problem["errors"][0]["loc"] == ["path", "item_id"]


def test_spaces(client: httpx.Client, tiny, release: str) -> None:
    none = {"metric": "cosine", "max_history": None, "pictures": False, "picture_size": None}
    films = {name: len(space.things) for name, space in (("behaviour", tiny.behaviour), ("image", tiny.image))}
    nodes = Counter(kind for kind, _ in tiny.graph.things)
    spaces = [
        {"name": "behaviour", "dim": 4, "count": films["behaviour"], "node_types": {"film": films["behaviour"]}},
        {"name": "graph", "dim": 4, "count": len(tiny.graph.things), "node_types": nodes},
        {"name": "image", "dim": 5, "count": films["image"], "node_types": {"film": films["image"]}},
    ]
    behaviour, graph, image = [none | space for space in spaces]
    behaviour["max_history"] = 6
    image |= {"pictures": True, "picture_size": 8}
    assert client.get("/v1/spaces").json() == {"release": release, "spaces": [behaviour, graph, image]}


def test_releases(client: httpx.Client, release: str, store) -> None:
    answer = client.get("/v1/releases").json()
    assert answer["serving"] == release
    (listed,) = answer["releases"]
    assert (listed["id"], listed["active"], listed["damage"]) == (release, True, None)
    assert listed["metrics"] == {"ndcg@10": 0.1}
    assert listed["size"] == store.list()[0].size


def test_health(client: httpx.Client, release: str) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "release": release}


def metric(client: httpx.Client, name: str) -> float:
    text = client.get("/metrics").text
    found = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(found[0].split()[-1]) if found else 0.0


def test_metrics(client: httpx.Client, release: str) -> None:
    labels = f'release="{release}",route="/v1/recommendations",status="200"'
    names = [
        *(
            f"recsvc_request_seconds_count{{{labels}}}",
            'recsvc_fallbacks_total{source="popular"}',
            "recsvc_unknown_ids_total",
        ),
        *(f'recsvc_stage_seconds_count{{stage="{stage}"}}' for stage in ("encode", "score", "catalogue")),
    ]
    before = [metric(client, name) for name in names]
    client.post("/v1/recommendations", json={"history": ["nobody", "nothing"]})
    client.post("/v1/recommendations", json={"history": ["1193"]})
    client.get("/v1/items/1193")
    client.get("/nowhere")
    grown = [metric(client, name) - old for name, old in zip(names, before, strict=True)]
    assert grown == [2, 1, 2, 1, 2, 2]
    text = client.get("/metrics").text
    assert f'recsvc_release_info{{release="{release}"}} 1.0' in text
    assert 'route="/v1/items/{item_id}"' in text
    assert 'route="unmatched",status="404"' in text
    assert "nobody" not in text
    assert "process_resident_memory_bytes" in text


def test_every_option_reaches_the_model(client: httpx.Client, tiny) -> None:
    """What the options do is proven where they are answered; here, that none of them is lost on the way."""
    recommender = client.app.state.engine.recommender  # type: ignore[attr-defined]
    late = {"attribute": "year", "gte": 1910}
    one = {"attribute": "item_id", "eq": "item-9"}
    plain = {"history": ["1193", "661"], "k": 10}
    for option in (
        {"filter": late},
        {"allow": ["914", "item-0", "item-1"]},
        {"diversity": 0.9},
        {"diversity": 0.9, "diversity_space": "graph"},
        {"boosts": [{"filter": one, "factor": 1e6}]},
        {"promotions": [{"filter": one, "share": 0.1}]},
        {"strict": True, "k": 100},
        {"explain": True},
        {"exclude": ["item-1"], "exclude_seen": False},
    ):
        sent = client.post("/v1/recommendations", json=plain | option).json()
        asked = plain | option
        for name, kind in (("boosts", Boost), ("promotions", Promotion)):
            if name in option:
                asked = asked | {name: [kind(**rule) for rule in option[name]]}
        expected = recommender.recommend(**asked)
        assert [item["item_id"] for item in sent["items"]] == [item.item_id for item in expected.items]
        assert [item["reason"] for item in sent["items"]] == [item.reason for item in expected.items]
        assert [len(item["because"]) for item in sent["items"]] == [len(item.because) for item in expected.items]
        without = client.post("/v1/recommendations", json=plain).json()
        assert sent["items"] != without["items"], option
    for option in ({"filter": late}, {"allow": ["914", "item-0"]}, {"diversity": 0.9}):
        question = {"space": "image", "id": "1193", "k": 5}
        sent = client.post("/v1/similar", json=question | option).json()
        expected_ids = [item.item_id for item in recommender.similar(**question, **option).items]
        assert [item["item_id"] for item in sent["items"]] == expected_ids


def test_a_filter_in_a_form(client: httpx.Client, tiny, is_problem) -> None:
    def send(**fields: object) -> httpx.Response:
        picture = {"image": ("a.png", tiny.pictures["1193"])}
        return client.post("/v1/similar/image", files=picture, data={"k": "50", **fields})

    late = send(filter='{"attribute": "year", "gte": 1915}', diversity="0.5").json()["items"]
    assert late and all(int(item["attributes"]["year"]) >= 1915 for item in late)
    assert {item["item_id"] for item in send(allow=["661", "914"]).json()["items"]} == {"661", "914"}
    for wrong in ("{", '{"attribute": "year"}', "[" * 2000, '"text"'):
        problem = is_problem(send(filter=wrong), 422, "invalid-request", with_errors=True)
        assert problem["errors"][0]["loc"] == ["body", "filter"]
