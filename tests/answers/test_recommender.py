from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.answers import Recommender
from recsvc.errors import ReleaseError, RequestError
from recsvc.releases import Store


def pairs(items):
    return [(item.item_id, pytest.approx(item.score, abs=1e-4)) for item in items]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_similar_items_equal_brute_force(recommender: Recommender, tiny, data: st.DataObject) -> None:
    ids = st.sampled_from([*tiny.ids, "nobody"])
    asked = data.draw(st.lists(ids, min_size=1, max_size=6))
    exclude = data.draw(st.lists(ids, max_size=5))
    k = data.draw(st.integers(1, 60))

    answer = recommender.similar(ids=asked, k=k, exclude=exclude)

    rows = [row for row in map(tiny.row_of, asked) if row is not None]
    assert answer.unknown == list(
        dict.fromkeys(
            [item_id for item_id in asked if tiny.row_of(item_id) is None]
            + [item_id for item_id in exclude if item_id not in tiny.ids]
        )
    )
    if not rows:
        assert answer.items == []
        return
    middle = tiny.unit_vectors()[rows].mean(axis=0)
    assert pairs(answer.items) == tiny.similar(middle, k, asked + exclude)
    assert {item.reason for item in answer.items} <= {"similar"}


def test_similar_by_one_id_is_similar_by_a_list_of_it(recommender: Recommender) -> None:
    one, many = recommender.similar(id="661", k=5), recommender.similar(ids=["661"], k=5)
    assert one == many
    assert len(one.items) == 5
    assert "661" not in [item.item_id for item in one.items]


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_similar_by_vector_takes_its_direction_only(recommender: Recommender, tiny, scale: float) -> None:
    direction = np.array([0.3, -1.0, 0.2, 0.7])
    answer = recommender.similar(vector=(direction * scale).tolist(), k=7)
    assert pairs(answer.items) == tiny.similar(direction, 7, [])
    assert (answer.space, answer.unknown) == ("behaviour", [])


def test_titles_and_attributes_come_with_the_items(recommender: Recommender, tiny) -> None:
    for item in recommender.recommend(["1193"], k=50).items:
        assert item.title == tiny.title(item.item_id)
        assert item.attributes == tiny.attributes(item.item_id)


def test_the_whole_history_is_excluded_also_beyond_what_the_encoder_reads(recommender: Recommender, tiny) -> None:
    with_vector = [item_id for item_id in tiny.ids if tiny.row_of(item_id) is not None]
    history = with_vector[:-2]
    assert len(history) > tiny.max_history
    answer = recommender.recommend(history, k=100, strict=True)
    assert {item.item_id for item in answer.items} == set(with_vector[-2:])
    assert {item.item_id for item in recommender.recommend(history, k=100).items} == set(tiny.ids) - set(history)


def test_only_the_newest_known_items_are_read(recommender: Recommender, tiny) -> None:
    newest = [item_id for item_id in tiny.ids if tiny.row_of(item_id) is not None][: tiny.max_history]
    scores = {item.item_id: item.score for item in recommender.recommend(newest, k=9, exclude_seen=False).items}
    padded = ["item-0", "item-1", *[x for item_id in newest for x in (item_id, "unknown", "item-3")]]
    again = recommender.recommend(padded, k=9, exclude_seen=False)
    assert {item.item_id: item.score for item in again.items} == scores
    assert again.unknown == ["unknown", "item-3"]  # item-3 is in the catalogue and has no vector


def test_nothing_is_left_when_everything_is_excluded(recommender: Recommender, tiny) -> None:
    assert recommender.recommend(["1193"], exclude=tiny.ids).items == []
    assert recommender.recommend([], exclude=tiny.ids).items == []
    assert recommender.similar(id="1193", exclude=tiny.ids).items == []


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({}, "exactly one"),
        ({"id": "1193", "ids": ["1193"]}, "exactly one"),
        ({"vector": [1.0, 2.0]}, r"needs 4 numbers"),
        ({"vector": [[1.0, 2.0, 3.0, 4.0]]}, r"needs 4 numbers"),
        ({"vector": [0.0] * 4}, "all zeros"),
        ({"vector": [1.0, float("nan"), 0.0, 0.0]}, "finite"),
        ({"vector": [1.0, float("inf"), 0.0, 0.0]}, "finite"),
        ({"vector": [10**400, 0, 0, 0]}, "list of numbers"),
        ({"vector": ["x", 0, 0, 0]}, "list of numbers"),
        ({"id": "1193", "space": "video"}, "no space 'video'; it has: behaviour, graph, image"),
        ({"id": "1193", "k": 0}, "at least 1"),
        ({"ids": "1193"}, "ids as a list"),
        ({"id": "1193", "exclude": "1193"}, "exclude as a list"),
        ({"id": "1193", "target_types": "film"}, "target_types as a list"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(recommender: Recommender, question, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        recommender.similar(**question)


@pytest.mark.parametrize("history", [[], ["1193"]])
def test_k_below_one_is_refused_by_the_model_and_by_popularity(recommender: Recommender, history) -> None:
    with pytest.raises(RequestError, match="at least 1"):
        recommender.recommend(history, k=0)
    with pytest.raises(RequestError, match="as a list"):
        recommender.recommend("1193")


def test_items_by_id(recommender: Recommender, tiny) -> None:
    for item_id in tiny.ids:
        item = recommender.item(item_id)
        assert item is not None
        assert item.node_type == "film"
        assert (item.item_id, item.title, item.attributes, item.popularity) == (
            item_id,
            tiny.title(item_id),
            tiny.attributes(item_id),
            tiny.popularity[tiny.ids.index(item_id)],
        )
    for other in ("nobody", "Drama", "Tom Hanks"):  # a genre and an actor are known, and no items
        assert recommender.item(other) is None


def test_what_is_no_item_is_not_recommended_and_not_read(recommender: Recommender) -> None:
    for history in ([], ["1193"]):
        answer = recommender.recommend(history, k=1000)
        assert {item.node_type for item in answer.items} == {"film"}
    answer = recommender.recommend(["Drama", "Tom Hanks"], exclude=["Noir"])
    assert (answer.source, answer.unknown) == ("popular", ["Drama", "Tom Hanks", "Noir"])


@pytest.mark.parametrize("spaces", [("graph",), ("image",), ("graph", "image")])
def test_without_a_behaviour_space_nothing_is_recommended(tmp_path, tiny, spaces: tuple[str, ...]) -> None:
    store = Store(tmp_path / "store")
    store.activate(replace(tiny, spaces=spaces).publish(store), actor="test", reason="test")
    recommender = Recommender.from_store(store.path)
    recommender.warm_up()
    for history in ([], ["1193"]):
        with pytest.raises(RequestError, match=f"has no space 'behaviour'; it has: {', '.join(spaces)}"):
            recommender.recommend(history)
    with pytest.raises(RequestError, match="has no space 'behaviour'; it has"):
        recommender.similar(id="1193")
    for space in spaces:
        assert len(recommender.similar(space=space, id="1193").items) == 10


def test_a_space_other_than_behaviour_answers_no_histories(tmp_path, tiny) -> None:
    store = Store(tmp_path / "store")

    def fill(folder):
        draft = replace(tiny, warm_up=[]).fill(folder)
        return draft.model_copy(update={"spaces": {"behaviour": draft.spaces["graph"]}})

    recommender = Recommender.open(store.path_of(store.publish(fill)), release_id="r")
    with pytest.raises(RequestError, match="'behaviour' of release r reads no histories"):
        recommender.recommend(["1193"])


def test_spaces(recommender: Recommender, tiny) -> None:
    behaviour, graph, image = recommender.spaces()
    assert (behaviour.name, behaviour.dim, behaviour.count, behaviour.metric) == (
        *("behaviour", 4),
        len(tiny.vectors),
        "cosine",
    )
    assert (behaviour.max_history, behaviour.picture_size) == (6, None)
    assert behaviour.node_types == {"film": len(tiny.vectors)}
    films = sum(kind == "film" for kind, _ in tiny.graph.things)
    assert (graph.name, graph.max_history, graph.picture_size) == ("graph", None, None)
    assert graph.node_types == {"film": films, "genre": 3, "actor": 4}
    assert list(graph.node_types) == ["film", "genre", "actor"]
    assert (image.name, image.dim, image.max_history, image.picture_size) == ("image", 5, None, 8)
    assert image.node_types == {"film": len(tiny.pictures)}


def test_stages_are_observed(store: Store) -> None:
    seen: list[tuple[str, float]] = []
    recommender = Recommender.from_store(store.path, observe=lambda stage, seconds: seen.append((stage, seconds)))
    recommender.recommend(["1193"])
    assert [stage for stage, _ in seen] == ["encode", "score", "catalogue"]
    assert all(0 <= seconds < 5 for _, seconds in seen)


def test_a_store_without_an_active_release_says_what_to_do(tmp_path, tiny) -> None:
    with pytest.raises(ReleaseError, match="no store"):
        Recommender.from_store(tmp_path / "store")
    tiny.publish(Store(tmp_path / "store"))
    with pytest.raises(ReleaseError, match="activate one"):
        Recommender.from_store(tmp_path / "store")
