"""Answers: next pages without repeats, and what came of them by release."""

from dataclasses import replace
from datetime import timedelta

import pytest

from recsvc.events import Answer, Attribution, Served, answers


@pytest.fixture
def answer(noon):
    """Makes answers; each number has its id and its three items."""

    def make(number, *, user="Ada", release="blue", continues=None, minutes=0) -> Answer:
        created = noon + timedelta(minutes=minutes)
        before = None if continues is None else f"answer {continues}"
        return Answer(f"answer {number}", created, user, release, before, [f"item {number}.{i}" for i in range(3)])

    return make


def test_pages_add_up(database, answer):
    assert database.answers.add_many([answer(1), answer(2, continues=1), answer(3, continues=2, release="green")]) == 3
    items = [f"item {number}.{i}" for number in (1, 2, 3) for i in range(3)]
    assert database.answers.served("answer 3") == Served("Ada", "green", tuple(items))
    assert database.answers.served("answer 1") == Served("Ada", "blue", tuple(items[:3]))
    assert database.answers.served("answer 4") is None
    assert database.answers.served("\0") is None


def test_an_answer_without_a_user_or_items(database, answer):
    database.answers.add_many([replace(answer(1), user_id=None, items=[])])
    assert database.answers.served("answer 1") == Served(None, "blue", ())


def test_an_answer_is_kept_once(database, answer):
    database.answers.add_many([answer(1), answer(1, release="green")])
    database.answers.add_many([answer(1, release="red"), answer(2)])
    assert database.answers.served("answer 1").release == "blue"
    assert database.statistics().answers == 2


def test_pages_in_a_circle_end(database, answer):
    database.answers.add_many([answer(1, continues=2), answer(2, continues=1)])
    assert sorted(database.answers.served("answer 1").items) == [f"item {n}.{i}" for n in (1, 2) for i in range(3)]


def test_a_page_before_that_is_gone_ends_the_row(database, answer):
    database.answers.add_many([answer(2, continues=1)])
    assert len(database.answers.served("answer 2").items) == 3


def test_ids_that_cannot_be_kept_leave_the_others_alone(database, answer):
    bad = [replace(answer(1), user_id="\0"), replace(answer(2), items=["\ud800"]), replace(answer(3), continues="\0")]
    assert database.answers.add_many([*bad, answer(4)]) == 1
    assert database.answers.add_many([]) == 0
    assert database.answers.served("answer 4") is not None


def test_texts_come_back_as_they_were(database, answer):
    items = ["ü", '"', "\\", "it's", "a,b", "\u2028", "😀"]
    database.answers.add_many([replace(answer(1), items=items)])
    assert database.answers.served("answer 1").items == tuple(items)


def test_clicks_by_release(database, answer, event, noon):
    database.answers.add_many(
        [answer(1), answer(2), answer(3), answer(4, release="green", minutes=9), answer(5, minutes=-9)]
    )
    clicks = [
        event(1, item="item 1.0", recommendation_id="answer 1"),
        event(2, item="item 1.2", recommendation_id="answer 1", kind="buy"),
        event(3, item="item 2.1", recommendation_id="answer 2"),
        event(4, item="item 1.0", recommendation_id="answer 3"),  # an item that it did not show
        event(5, item="item 3.0"),  # names no answer
        event(6, item="item 4.0", recommendation_id="answer 9"),  # no such answer
        event(7, item="item 5.0", recommendation_id="answer 5"),
    ]
    database.events.add(clicks)
    blue, green = Attribution("blue", 3, 2, 3), Attribution("green", 1, 0, 0)
    assert database.answers.attribution(noon) == [blue, green]
    assert database.answers.attribution(noon, noon + timedelta(minutes=9)) == [blue]
    assert database.answers.attribution(noon, kinds=["buy"]) == [Attribution("blue", 3, 1, 1), green]
    assert database.answers.attribution(noon - timedelta(hours=1))[0] == Attribution("blue", 4, 3, 4)
    assert database.answers.attribution(noon + timedelta(hours=1)) == []


def test_old_answers_are_pruned(database, answer, noon, monkeypatch):
    monkeypatch.setattr(answers, "_PRUNED_AT_ONCE", 2)
    database.answers.add_many([answer(i, minutes=i - 5) for i in range(10)])
    assert database.answers.prune(noon) == 5
    assert database.answers.served("answer 4") is None
    assert database.answers.served("answer 5") is not None
