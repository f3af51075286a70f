"""Neighbours with filters, allow lists, blocked items and diversity: what comes back holds, and none is missing."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.answers import Recommender
from recsvc.errors import RequestError
from recsvc.releases import Store

TYPES = ["film", "genre", "actor"]
FILTERS: list[tuple[dict[str, Any] | None, Any]] = [
    (None, lambda tiny, kind, node_id: True),
    ({"attribute": "year", "lt": 1920}, lambda tiny, kind, i: kind == "film" and tiny.ids.index(i) < 20),
    (
        {"not": {"attribute": "year", "lt": 1920}},
        lambda tiny, kind, i: kind != "film" or tiny.ids.index(i) >= 20,
    ),
    ({"attribute": "node_type", "in": ["genre", "film"]}, lambda tiny, kind, i: kind in {"genre", "film"}),
    (
        {"attribute": "popularity", "gte": 2},
        lambda tiny, kind, i: kind == "film" and tiny.popularity[tiny.ids.index(i)] >= 2,
    ),
]


@pytest.fixture(scope="module")
def blockable(store: Store) -> Recommender:
    """One whose blocked items a test may replace."""
    return Recommender.from_store(store.path)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), k=st.integers(1, 60), filtered=st.sampled_from(FILTERS))
def test_things_near_a_thing_equal_brute_force(
    blockable: Recommender, tiny, data: st.DataObject, k: int, filtered: tuple[Any, Any]
) -> None:
    """Scores of the tiny graph are exact, so the order is too: score, then row."""
    filter, holds = filtered
    ids = [node_id for kind, node_id in tiny.things if kind in TYPES]
    node_type = data.draw(st.sampled_from(TYPES))
    asked = data.draw(st.sampled_from([node_id for kind, node_id in tiny.graph.things if kind == node_type]))
    types = data.draw(st.none() | st.lists(st.sampled_from(TYPES), min_size=1, max_size=4))
    allow = data.draw(st.none() | st.lists(st.sampled_from([*ids, "nobody"]), max_size=30))
    exclude = data.draw(st.lists(st.sampled_from(ids), max_size=5))
    blocked = data.draw(st.lists(st.sampled_from(tiny.ids), max_size=15))
    diversity = data.draw(st.sampled_from([0.0, 0.0, 0.3, 1.0]))
    blockable.block(blocked)

    answer = blockable.similar(
        space="graph",
        id=asked,
        node_type=node_type,
        target_types=types,
        k=k,
        exclude=exclude,
        allow=allow,
        filter=filter,
        diversity=diversity,
    )

    wanted = types or [node_type]
    banned = {(node_type, node_id) for node_id in [asked, *exclude]} | {("film", item_id) for item_id in blocked}
    every = tiny.graph.nearest(tiny.graph.vectors[tiny.graph.row_of(asked, node_type)], 1000, banned, wanted)
    expected = [
        (kind, node_id, score)
        for kind, node_id, score in every
        if (allow is None or node_id in allow) and holds(tiny, kind, node_id)
    ]
    found = [(item.node_type, item.item_id, item.score) for item in answer.items]
    if diversity == 0:
        assert found == expected[:k]
    else:
        assert len(found) == len(set(found)) == min(k, len(expected)) and set(found) <= set(expected)
        assert found[:1] == expected[:1]
    known = {node_id for kind, node_id in tiny.things if kind in wanted}
    unknown = [node_id for node_id in exclude if (node_type, node_id) not in tiny.things]
    unknown += [node_id for node_id in allow or [] if node_id not in known]
    assert answer.unknown == list(dict.fromkeys(unknown))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), k=st.integers(1, 40), filtered=st.sampled_from(FILTERS))
def test_look_alikes_of_a_picture_equal_brute_force(
    blockable: Recommender, tiny, data: st.DataObject, k: int, filtered: tuple[Any, Any]
) -> None:
    filter, holds = filtered
    asked = data.draw(st.sampled_from(list(tiny.pictures)))
    allow = data.draw(st.none() | st.lists(st.sampled_from([*tiny.ids, "nobody", "nobody"]), max_size=30))
    blocked = data.draw(st.lists(st.sampled_from(tiny.ids), max_size=15))
    blockable.block(blocked)
    answer = blockable.similar_image(tiny.pictures[asked], k=k, allow=allow, filter=filter)
    every = tiny.image.nearest(tiny.picture_vector(tiny.pictures[asked]), 1000, [("film", i) for i in blocked])
    expected = [
        (item_id, pytest.approx(score, abs=1e-4))
        for kind, item_id, score in every
        if (allow is None or item_id in allow) and holds(tiny, kind, item_id)
    ]
    assert [(item.item_id, item.score) for item in answer.items] == expected[:k]
    assert answer.unknown == (["nobody"] if allow and "nobody" in allow else [])
    diverse = blockable.similar_image(tiny.pictures[asked], k=k, allow=allow, filter=filter, diversity=0.5)
    assert len({item.item_id for item in diverse.items}) == len(answer.items)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diversity": -0.1}, "diversity is -0.1"),
        ({"diversity": 0.2, "diversity_space": "sound"}, "no space 'sound' for diversity"),
        ({"allow": "661"}, "allow as a list"),
        ({"filter": {"attribute": "yaer", "eq": 3}}, "no attribute 'yaer'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(recommender: Recommender, tiny, options, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        recommender.similar(id="1193", **options)
    with pytest.raises(RequestError, match=message):
        recommender.similar_image(tiny.pictures["1193"], **options)
