"""Neighbours in a space of several types: who is meant, who may answer, and what is said about types that are not."""

from collections import Counter
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.answers import Recommender
from recsvc.errors import RequestError
from recsvc.releases import Store

TYPES = ["film", "genre", "actor"]
types_wanted = st.none() | st.lists(st.sampled_from(TYPES), min_size=1, max_size=4)


def found(answer) -> list[tuple[str, str, float]]:
    return [(item.node_type, item.item_id, item.score) for item in answer.items]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), k=st.integers(1, 60), target_types=types_wanted)
def test_one_thing_or_a_vector_equals_brute_force_ties_and_all(
    recommender: Recommender, tiny, data: st.DataObject, k: int, target_types: list[str] | None
) -> None:
    """Scores of the tiny graph are exact, so the order is too: score, then row."""
    node_type = data.draw(st.sampled_from(TYPES))
    of_type = [node_id for kind, node_id in tiny.things if kind == node_type]
    exclude = data.draw(st.lists(st.sampled_from([*of_type, "nobody"]), max_size=12))
    asked = data.draw(st.sampled_from([node_id for kind, node_id in tiny.graph.things if kind == node_type]))
    query = tiny.graph.vectors[tiny.graph.row_of(asked, node_type)]
    by_vector = data.draw(st.booleans())
    question = {"vector": query.tolist()} if by_vector else {"id": asked}

    answer = recommender.similar(
        space="graph", node_type=node_type, target_types=target_types, k=k, exclude=exclude, **question
    )

    banned = {(node_type, node_id) for node_id in [*exclude, *([] if by_vector else [asked])]}
    wanted = {node_type} if target_types is None else set(target_types)
    expected = tiny.graph.nearest(query, k, banned, wanted)
    assert found(answer) == expected
    left = [thing for thing in tiny.graph.things if thing[0] in wanted and thing not in banned]
    assert len(answer.items) == min(k, len(left))
    assert answer.unknown == [node_id for node_id in dict.fromkeys(exclude) if (node_type, node_id) not in tiny.things]
    assert answer.space == "graph"


@settings(max_examples=100, deadline=None)
@given(data=st.data(), k=st.integers(1, 60), target_types=types_wanted)
def test_several_things_equal_brute_force(
    recommender: Recommender, tiny, data: st.DataObject, k: int, target_types: list[str] | None
) -> None:
    node_type = data.draw(st.sampled_from(TYPES))
    ids = [node_id for kind, node_id in tiny.things if kind == node_type]
    asked = data.draw(st.lists(st.sampled_from([*ids, "nobody"]), min_size=1, max_size=5))
    answer = recommender.similar(space="graph", ids=asked, node_type=node_type, target_types=target_types, k=k)
    rows = [row for row in (tiny.graph.row_of(node_id, node_type) for node_id in asked) if row is not None]
    assert answer.unknown == [
        node_id for node_id in dict.fromkeys(asked) if tiny.graph.row_of(node_id, node_type) is None
    ]
    middle = tiny.graph.unit_vectors()[rows].mean(axis=0) if rows else np.zeros(4)
    if not rows:
        assert answer.items == []
        return
    if not middle.any():  # opposite vectors cancel: everything is equally far, in the order of rows
        assert {item.score for item in answer.items} <= {0.0}
        return
    wanted = {node_type} if target_types is None else set(target_types)
    every = tiny.graph.nearest(middle, 1000, {(node_type, node_id) for node_id in asked}, wanted)
    # The middle is not exact, so ties may fall either way: each answer has its own score, at a place for that score.
    scores = {thing[:2]: thing[2] for thing in every}
    assert [item.score for item in answer.items] == [pytest.approx(score, abs=1e-6) for *_, score in every[:k]]
    for item in answer.items:
        assert item.score == pytest.approx(scores.pop((item.node_type, item.item_id)), abs=1e-6)


def test_an_id_means_the_thing_of_its_type(recommender: Recommender, tiny) -> None:
    film = recommender.similar(space="graph", id="1193", k=50)
    genre = recommender.similar(space="graph", id="1193", node_type="genre", target_types=["film"], k=50)
    assert {item.node_type for item in film.items} == {item.node_type for item in genre.items} == {"film"}
    assert "1193" not in [item.item_id for item in film.items]
    assert "1193" in [item.item_id for item in genre.items]  # the film is no thing that was asked about
    row = tiny.graph.row_of("1193", "genre")
    assert found(genre) == tiny.graph.nearest(tiny.graph.vectors[row], 50)
    excluding = recommender.similar(space="graph", id="Noir", node_type="genre", exclude=["1193"], k=50)
    assert Counter(item.item_id for item in excluding.items) == {"Drama": 1}


def test_neighbours_of_other_types_carry_their_type_and_name(recommender: Recommender, tiny) -> None:
    answer = recommender.similar(space="graph", id="1193", target_types=["actor", "genre"], k=50)
    assert Counter(item.node_type for item in answer.items) == {"actor": 4, "genre": 3}
    for item in answer.items:
        assert item.title == f"{item.node_type.title()} {item.item_id}"
        assert (item.attributes, item.reason) == ({}, "similar")


def test_what_the_space_has_no_vector_for_is_unknown(recommender: Recommender, tiny) -> None:
    unwalked = next(item_id for item_id in tiny.ids if tiny.graph.row_of(item_id) is None)
    answer = recommender.similar(space="graph", ids=[unwalked, "1193"], k=3)
    assert answer.unknown == [unwalked]
    assert found(answer) == found(recommender.similar(space="graph", id="1193", k=3, exclude=[unwalked]))
    unpictured = next(item_id for item_id in tiny.ids if item_id not in tiny.pictures)
    answer = recommender.similar(space="image", id=unpictured)
    assert (answer.items, answer.unknown) == ([], [unpictured])
    assert recommender.similar(space="graph", id="Drama").unknown == ["Drama"]  # as a film, which it is not


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"id": "1193", "node_type": "movie"}, "no type 'movie'; the nearest is '"),
        ({"id": "1193", "node_type": "actors"}, "no type 'actors'; the nearest is 'actor'"),
        ({"id": "1193", "target_types": ["film", "gener"]}, "no type 'gener'; the nearest is 'genre'"),
        ({"id": "slow", "node_type": "tag"}, "'graph' holds no vectors of the type 'tag'; it has: film, genre, actor"),
        ({"id": "1193", "target_types": ["tag"]}, "holds no vectors of the type 'tag'; it has: film, genre, actor"),
        ({"id": "1193", "space": "image", "node_type": "genre"}, "'image' holds no vectors .* 'genre'; it has: film"),
        ({"id": "1193", "space": "behaviour", "target_types": ["genre"]}, "'behaviour' holds no vectors of the type"),
        ({"id": "1193", "target_types": []}, "target_types is empty"),
    ],
)
def test_a_type_that_is_not_there_is_named(recommender: Recommender, question, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        recommender.similar(**{"space": "graph", **question})


@pytest.fixture(scope="module")
def without_items(tiny, support: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """A release whose graph holds genres and actors only."""
    rows = [row for row, (kind, _) in enumerate(tiny.graph.things) if kind != "film"]
    things = [tiny.graph.things[row] for row in rows]
    nodes = support.TinySpace(tiny.graph.vectors[rows], tiny.graph.catalogue_rows[rows], things)
    store = Store(tmp_path_factory.mktemp("nodes") / "store")
    release = replace(tiny, graph=nodes, spaces=("graph",)).publish(store)
    return Recommender.open(store.path_of(release), release_id=release)


@pytest.mark.parametrize(
    "question", [{"id": "Drama"}, {"vector": [1, 0, 0, 0]}, {"ids": ["Drama"], "target_types": ["genre"]}]
)
def test_in_a_space_without_items_the_type_has_to_be_given(without_items: Recommender, question) -> None:
    with pytest.raises(RequestError, match=r"no vectors of items \(film\): give node_type, one of: genre, actor"):
        without_items.similar(space="graph", **question)


def test_a_space_without_items_answers_once_it_is(without_items: Recommender) -> None:
    answer = without_items.similar(space="graph", id="Drama", node_type="genre")
    assert sorted(item.item_id for item in answer.items) == ["1193", "Noir"]
    # A vector names nothing, so that only the types wanted matter.
    answer = without_items.similar(space="graph", vector=[1, 0, 0, 0], target_types=["genre", "actor"], k=50)
    assert len(answer.items) == 7
