"""Next items with all their options equal brute force: what may come back holds whoever ranks, and none is missing."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.answers import Boost, Promotion, Question, Recommender
from recsvc.errors import RequestError
from recsvc.releases import Store

NO_VECTOR = ("item-3", "item-7", "item-11", "item-23")  # of behaviour; all but item-11 have a picture or relations
STRANGERS = ("nobody", "knows", "")


@dataclass(frozen=True)
class Rule:
    """A filter as JSON, and what it says in Python."""

    filter: dict[str, Any]
    matches: Callable[[str], bool]


@pytest.fixture(scope="module")
def blockable(store: Store) -> Recommender:
    """One whose blocked items a test may replace."""
    return Recommender.from_store(store.path)


def rules(tiny) -> st.SearchStrategy[Rule]:
    """Filters over what the films of a tiny release have: a year each, the same genres, popularity, ids."""
    year = {item_id: 1900 + row for row, item_id in enumerate(tiny.ids)}
    count = dict(zip(tiny.ids, tiny.popularity.tolist(), strict=True))
    years = st.integers(1895, 1945)
    simple = st.one_of(
        years.map(lambda low: Rule({"attribute": "year", "gte": low}, lambda i: year[i] >= low)),
        years.map(lambda high: Rule({"attribute": "year", "lt": high}, lambda i: year[i] < high)),
        st.integers(0, 6).map(lambda n: Rule({"attribute": "popularity", "lte": n}, lambda i: count[i] <= n)),
        st.sets(st.sampled_from(tiny.ids), min_size=1, max_size=12).map(
            lambda ids: Rule({"attribute": "item_id", "in": sorted(ids)}, lambda i: i in ids)
        ),
        st.sampled_from(["Drama", "Horror"]).map(
            lambda name: Rule({"attribute": "genre", "eq": name}, lambda i: name == "Drama")
        ),
    )

    def combined(inner: st.SearchStrategy[Rule]) -> st.SearchStrategy[Rule]:
        return st.one_of(
            inner.map(lambda rule: Rule({"not": rule.filter}, lambda i: not rule.matches(i))),
            st.lists(inner, min_size=1, max_size=3).map(
                lambda parts: Rule({"and": [p.filter for p in parts]}, lambda i: all(p.matches(i) for p in parts))
            ),
            st.lists(inner, min_size=1, max_size=3).map(
                lambda parts: Rule({"or": [p.filter for p in parts]}, lambda i: any(p.matches(i) for p in parts))
            ),
        )

    return st.recursive(simple, combined, max_leaves=4)


@st.composite
def questions(draw: st.DrawFn, tiny) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of a question, and the same for the oracle."""
    ids = st.sampled_from([*tiny.ids, *STRANGERS])
    histories = st.lists(ids, max_size=12) | st.lists(st.sampled_from([*NO_VECTOR, *STRANGERS]), max_size=4)
    same = {
        "history": draw(histories),
        "k": draw(st.integers(1, 50)),
        "exclude": draw(st.lists(ids, max_size=8)),
        "exclude_seen": draw(st.booleans()),
        "allow": draw(st.none() | st.lists(ids, max_size=25)),
        "already": draw(st.lists(ids, max_size=8)),
        "strict": draw(st.booleans()),
    }
    rule = draw(st.none() | rules(tiny))
    boosts = draw(st.lists(st.tuples(rules(tiny), st.sampled_from([1e-3, 0.5, 1.0, 2.0, 40.0])), max_size=3))
    promotions = draw(st.lists(st.tuples(rules(tiny), st.sampled_from([0.05, 0.1, 0.29, 0.3])), max_size=3))
    asked = same | {
        "filter": rule and rule.filter,
        "boosts": [Boost(boost.filter, factor) for boost, factor in boosts],
        "promotions": [Promotion(promotion.filter, share) for promotion, share in promotions],
    }
    expected = same | {
        "passes": rule.matches if rule else lambda item_id: True,
        "boosts": [(boost.matches, factor) for boost, factor in boosts],
        "promotions": [(promotion.matches, share) for promotion, share in promotions],
    }
    return asked, expected


def triples(items) -> list[tuple[str, Any, str]]:
    return [(item.item_id, pytest.approx(item.score, abs=1e-4), item.reason) for item in items]


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_every_option_equals_brute_force(blockable: Recommender, tiny, oracle: ModuleType, data: st.DataObject) -> None:
    asked, options = data.draw(questions(tiny))
    blocked = data.draw(st.lists(st.sampled_from([*tiny.ids, "nobody"]), max_size=20))
    blockable.block(blocked)

    answer = blockable.recommend(**asked)

    expected = oracle.next_items(tiny, blocked=blocked, **options)
    assert triples(answer.items) == [(found.item_id, found.score, found.reason) for found in expected]
    assert len({item.item_id for item in answer.items}) == len(answer.items)
    assert answer.source == source_of(tiny, expected, asked)
    assert answer.unknown == unknown_of(tiny, asked, answer.source)


def source_of(tiny, expected, asked: dict[str, Any]) -> str:
    """The first ranking that gives anything; a promoted item does not say which that is."""
    ids = {found.item_id for found in expected}
    for reason, scored in tiny.rankings(asked["history"]):
        if ids & {item_id for item_id, *_ in scored} and not (asked["strict"] and reason != "sequence"):
            return {"sequence": "model"}.get(reason, reason)
    return "none"


def unknown_of(tiny, asked: dict[str, Any], source: str) -> list[str]:
    space = tiny.newest_content(asked["history"])[0] if source == "content" else tiny.behaviour
    unknown = [item_id for item_id in asked["history"] if space.row_of(item_id) is None]
    unknown += [item_id for item_id in [*asked["exclude"], *(asked["allow"] or [])] if item_id not in tiny.ids]
    return list(dict.fromkeys(unknown))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), diversity=st.floats(0.01, 1), space=st.sampled_from([None, "behaviour", "graph", "image"]))
def test_a_diverse_answer_keeps_every_promise(
    blockable: Recommender, tiny, oracle: ModuleType, data: st.DataObject, diversity: float, space: str | None
) -> None:
    asked, options = data.draw(questions(tiny))
    blocked = data.draw(st.lists(st.sampled_from(tiny.ids), max_size=10))
    blockable.block(blocked)
    plain = blockable.recommend(**asked)
    answer = blockable.recommend(**asked, diversity=diversity, diversity_space=space)
    assert (answer.source, answer.unknown, len(answer.items)) == (plain.source, plain.unknown, len(plain.items))
    everything = {
        found.item_id: found.score
        for found in oracle.next_items(tiny, blocked=blocked, **{**options, "k": 1000, "promotions": ()})
    }
    ids = [item.item_id for item in answer.items]
    assert len(set(ids)) == len(ids)
    first = [item for item in answer.items if item.reason != "popular" or answer.source == "popular"]
    for item in first:
        assert item.score == pytest.approx(everything[item.item_id], abs=1e-4)
    # Promoted items are chosen by score, and all of them stay.
    assert {i.item_id for i in answer.items if i.reason == "promoted"} == {
        i.item_id for i in plain.items if i.reason == "promoted"
    }
    if answer.items and not asked["promotions"]:
        assert answer.items[0].item_id == plain.items[0].item_id  # the first is the most relevant


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_many_questions_are_answered_as_one_by_one(recommender: Recommender, tiny, data: st.DataObject) -> None:
    asked = [options for options, _ in data.draw(st.lists(questions(tiny), max_size=40))]
    for options in asked:
        options["explain"] = data.draw(st.booleans())
    many = recommender.recommend_many([Question(**options) for options in asked])
    assert len(many) == len(asked)
    for options, answer in zip(asked, many, strict=True):
        single = recommender.recommend(**options)
        assert (answer.source, answer.unknown) == (single.source, single.unknown)
        assert triples(answer.items) == [(item.item_id, item.score, item.reason) for item in single.items]
        assert [causes(item) for item in answer.items] == [causes(item) for item in single.items]


def causes(item) -> list[tuple[str, str, Any]]:
    return [(cause.item_id, cause.kind, pytest.approx(cause.weight, abs=1e-5)) for cause in item.because]


def test_a_question_of_many_that_cannot_be_answered_has_its_own_error(recommender: Recommender) -> None:
    wrong = Question(["1193"], filter={"attribute": "yaer", "eq": 1})
    elsewhere = Question(["1193"], diversity=0.5, diversity_space="video")
    late = Question(["1193"], promotions=[Promotion({"attribute": "gener", "eq": "x"}, 0.5)])
    first, *errors, last = recommender.recommend_many([Question(["1193"]), wrong, elsewhere, late, Question()])
    assert first == recommender.recommend(["1193"]) and last == recommender.recommend([])
    assert [str(error).partition(";")[0] for error in errors] == [
        "The catalogue has no attribute 'yaer'",
        f"Release {recommender.release} has no space 'video' for diversity",
        "The catalogue has no attribute 'gener'",
    ]
    assert all(isinstance(error, RequestError) for error in errors)
    assert recommender.recommend_many([]) == []


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_causes_are_of_the_history_and_strongest_first(recommender: Recommender, tiny, data: st.DataObject) -> None:
    asked, _ = data.draw(questions(tiny))
    answer = recommender.recommend(**asked, explain=True)
    plain = recommender.recommend(**asked)
    assert triples(answer.items) == [(item.item_id, item.score, item.reason) for item in plain.items]
    assert all(item.because == [] for item in plain.items)
    for item in answer.items:
        weights = [cause.weight for cause in item.because]
        assert weights == sorted(weights, reverse=True)
        named = [cause.item_id for cause in item.because]
        assert len(named) <= 3 and len(set(named)) == len(named)
        kinds = {cause.kind for cause in item.because}
        if item.reason == "popular":
            assert (named, weights) == ([item.item_id], [tiny.popularity[tiny.ids.index(item.item_id)]])
        elif kinds <= {"sequence", "content"}:
            assert set(named) <= set(asked["history"])
            is_alone = kinds == {"sequence"} and len(read_of(tiny, asked["history"])) == 1
            assert is_alone or all(weight > 0 for weight in weights)
        if item.reason in {"sequence", "content", "popular"}:
            assert kinds <= {item.reason}


def read_of(tiny, history: list[str]) -> set[str]:
    """The items that the model reads of a history."""
    known = [item_id for item_id in history if tiny.row_of(item_id) is not None]
    return set(known[-tiny.max_history :])


@pytest.mark.parametrize("history", [["661"], ["661", "661", "661"]])
def test_the_one_item_of_a_history_is_the_cause_of_every_item(recommender: Recommender, tiny, history) -> None:
    """What it weighs is the log-probability of an item after it, less that after nothing: the softmax of the biases."""
    items = recommender.recommend(history, k=1000, exclude_seen=False, strict=True, explain=True).items
    scores = np.array([item.score for item in items])
    biases = np.array([tiny.bias[tiny.row_of(item.item_id)] for item in items])
    expected = (scores - np.logaddexp.reduce(scores)) - (biases - np.logaddexp.reduce(biases))
    named = [(cause.item_id, cause.kind) for item in items for cause in item.because]
    assert named == [("661", "sequence")] * len(items)
    np.testing.assert_allclose([item.because[0].weight for item in items], expected, atol=1e-4)
    assert expected.min() < 0 < expected.max()


def test_the_cause_of_a_score_is_what_it_loses_without_it(recommender: Recommender, tiny) -> None:
    """Of two events, that of the item whose vector is the answer's own is the cause."""
    history = ["1193", "661"]
    (item, *_) = recommender.recommend(history, k=1, explain=True, exclude_seen=False).items

    def log_probability(read: list[str]) -> float:
        items = recommender.recommend(read, k=1000, exclude_seen=False, strict=True).items
        scores = {found.item_id: found.score for found in items}
        top = max(scores.values())
        return scores[item.item_id] - top - float(np.log(sum(np.exp(s - top) for s in scores.values())))

    losses = {left: log_probability(history) - log_probability([kept]) for left, kept in (history, history[::-1])}
    assert {cause.item_id: cause.weight for cause in item.because} == {
        item_id: pytest.approx(loss, abs=1e-4) for item_id, loss in losses.items() if loss > 0
    }


def test_blocked_items_come_back_when_they_are_no_longer_blocked(blockable: Recommender, tiny) -> None:
    blockable.block([])
    before = blockable.recommend(["1193"], k=60)
    first = before.items[0].item_id
    blockable.block([first, "unknown to this release"])
    for answer in (
        blockable.recommend(["1193"], k=60),
        blockable.recommend([], k=60),
        blockable.recommend(["item-3"], k=60),
        blockable.similar(id="1193", k=60),
        blockable.similar(space="graph", id="1193", target_types=["film", "genre"], k=60),
        blockable.similar_image(tiny.pictures["1193"], k=60),
    ):
        assert first not in [item.item_id for item in answer.items]
    blockable.block(["unknown to this release"])
    assert blockable.recommend(["1193"], k=60) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diversity": 1.5}, "diversity is 1.5: give a number from 0"),
        ({"diversity": float("nan")}, "diversity is nan"),
        ({"diversity": 0.1, "diversity_space": "video"}, "no space 'video' for diversity; it has: behaviour, graph"),
        ({"allow": "1193"}, "allow as a list"),
        ({"already": "1193"}, "already as a list"),
        ({"filter": {"attribute": "year"}}, "filter cannot be used"),
        ({"filter": {"attribute": "yer", "eq": 1}}, "no attribute 'yer'; the nearest is 'year'"),
        ({"boosts": [Boost({"attribute": "yer", "eq": 1}, 2)]}, "no attribute 'yer'"),
        ({"boosts": [Boost({"attribute": "year", "eq": 1}, 2)] * 9}, "9 boosts: give at most 8"),
        ({"promotions": [Promotion({"attribute": "year", "eq": 1}, 0.6)] * 2}, "1.2 together"),
    ],
)
@pytest.mark.parametrize("history", [[], ["1193"]])
def test_an_option_that_cannot_be_is_refused(recommender: Recommender, history, options, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        recommender.recommend(history, **options)


@pytest.mark.parametrize("factor", [0, -1, 2e6, float("nan"), float("inf")])
def test_a_factor_is_a_positive_number_of_at_most_a_million(factor: float) -> None:
    with pytest.raises(RequestError, match="factor of a boost"):
        Boost({"attribute": "year", "eq": 1}, factor)


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_is_of_the_whole(share: float) -> None:
    with pytest.raises(RequestError, match="share of a promotion"):
        Promotion({"attribute": "year", "eq": 1}, share)


def test_only_the_stages_that_a_question_needs_are_observed(store: Store) -> None:
    seen: list[str] = []
    recommender = Recommender.from_store(store.path, observe=lambda stage, seconds: seen.append(stage))
    recommender.recommend(["1193"], filter={"attribute": "year", "gte": 0}, diversity=0.3, explain=True)
    assert seen == ["filter", "encode", "score", "diversify", "catalogue", "explain"]


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_popular_items_are_looked_through_in_parts(
    recommender: Recommender, tiny, oracle: ModuleType, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr("recsvc.answers.popularity._CHUNK", chunk)
    early = {"attribute": "year", "lt": 1930}
    for k in (1, 5, 60):
        for exclude in ([], ["661", "item-2"]):
            answer = recommender.recommend([], k=k, exclude=exclude, filter=early)
            expected = oracle.next_items(tiny, k=k, exclude=exclude, passes=lambda i: tiny.ids.index(i) < 30)
            assert triples(answer.items) == list(expected)


def test_of_many_items_the_best_are_the_pool_of_probabilities(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"exclude_seen": False, "explain": True, "k": 5}
    whole = recommender.recommend(["1193", "661", "914"], **options)
    monkeypatch.setattr("recsvc.answers.sequence._WHOLE_POOL", 0)
    again = recommender.recommend(["1193", "661", "914"], **options)  # the pool is the best 4,096, which are all
    assert [causes(item) for item in again.items] == [causes(item) for item in whole.items]
    monkeypatch.setattr("recsvc.answers.sequence._POOL", 8)
    few = recommender.recommend(["1193", "661", "914"], **options)
    assert any(item.because for item in few.items)
    assert [causes(item) for item in few.items] != [causes(item) for item in whole.items]


def test_a_share_of_the_places_is_rounded_down_as_it_is_written(recommender: Recommender) -> None:
    every = {"attribute": "popularity", "gte": 0}
    answer = recommender.recommend([], k=100, promotions=[Promotion(every, 0.29)])  # 28.999999999999996 as floats
    assert [item.reason for item in answer.items].count("promoted") == 29
    answer = recommender.recommend([], k=9, promotions=[Promotion(every, 0.1)])
    assert [item.reason for item in answer.items].count("promoted") == 0
