"""Which items look like a picture: served vectors are the offline ones, and a bad picture is one clear clause."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recsvc.answers import Recommender
from recsvc.errors import PictureError, RequestError
from recsvc.releases import Store


def pairs(items):
    return [(item.item_id, pytest.approx(item.score, abs=1e-4)) for item in items]


def test_a_picture_of_the_catalogue_finds_its_own_item_first(recommender: Recommender, tiny) -> None:
    for item_id, content in tiny.pictures.items():
        answer = recommender.similar_image(content, k=3)
        assert answer.items[0].item_id == item_id
        assert answer.items[0].score == pytest.approx(1, abs=1e-4)
        assert answer.items[0].title == tiny.title(item_id)
        assert (answer.space, answer.unknown, answer.release) == ("image", [], recommender.release)
        by_id = recommender.similar(space="image", id=item_id, k=3)
        assert pairs(recommender.similar_image(content, k=3, exclude=[item_id]).items) == [
            (item.item_id, pytest.approx(item.score, abs=1e-4)) for item in by_id.items
        ]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), form=st.sampled_from(["PNG", "BMP", "JPEG"]), k=st.integers(1, 60), data=st.data())
def test_any_picture_equals_brute_force(
    recommender: Recommender, tiny, support: ModuleType, seed: int, form: str, k: int, data: st.DataObject
) -> None:
    content = support.picture(np.random.default_rng(seed), form)
    exclude = data.draw(st.lists(st.sampled_from([*tiny.ids, "nobody"]), max_size=10))
    answer = recommender.similar_image(content, k=k, exclude=exclude)
    banned = {("film", item_id) for item_id in exclude}
    expected = tiny.image.nearest(tiny.picture_vector(content), k, banned)
    assert pairs(answer.items) == [(item_id, score) for _, item_id, score in expected]
    assert {item.reason for item in answer.items} <= {"similar"}
    assert answer.unknown == (["nobody"] if "nobody" in exclude else [])


def test_the_stages_are_observed(store: Store, tiny) -> None:
    seen: list[str] = []
    recommender = Recommender.from_store(store.path, observe=lambda stage, _: seen.append(stage))
    recommender.similar_image(tiny.pictures["1193"])
    assert seen == ["decode", "encode", "score", "catalogue"]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"space": "graph"}, "'graph' of release .* reads no pictures"),
        ({"space": "behaviour"}, "'behaviour' of release .* reads no pictures"),
        ({"space": "video"}, "no space 'video'; it has: behaviour, graph, image"),
        ({"k": 0}, "at least 1"),
        ({"exclude": "1193"}, "exclude as a list"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(recommender: Recommender, tiny, question, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        recommender.similar_image(tiny.pictures["1193"], **question)


def test_a_release_without_pictures_says_so(tmp_path, tiny) -> None:
    store = Store(tmp_path / "store")
    release = replace(tiny, spaces=("behaviour", "graph")).publish(store)
    recommender = Recommender.open(store.path_of(release), release_id=release)
    with pytest.raises(RequestError, match="no space 'image'; it has: behaviour, graph"):
        recommender.similar_image(tiny.pictures["1193"])


def test_a_bad_picture_is_refused_in_one_clause(recommender: Recommender, support: ModuleType) -> None:
    cmyk = support.encoded(Image.new("CMYK", (9, 9)), "JPEG")
    for content, clause in ((b"", "is empty"), (b"some text", "is not a picture"), (cmyk, "is CMYK")):
        with pytest.raises(PictureError, match=f"^{clause}"):
            recommender.similar_image(content)


def test_a_vector_without_a_direction_is_not_compared(tmp_path, tiny) -> None:
    class Blind:
        def encode(self, pixels: np.ndarray) -> np.ndarray:
            return np.zeros(5, dtype=np.float32)

    store = Store(tmp_path / "store")
    recommender = Recommender.open(store.path_of(tiny.publish(store)), release_id="r")
    reader = recommender._bundle.spaces["image"].pictures
    assert reader is not None
    object.__setattr__(reader, "encoder", Blind())
    with pytest.raises(RequestError, match="The picture cannot be compared"):
        recommender.similar_image(tiny.pictures["1193"])
