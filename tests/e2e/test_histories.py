"""Every odd history has a defined answer, the same over HTTP as from the trained model.

Empty, of unknown ids only, of one item, longer than the model reads, one item two hundred times over.
"""

import pytest

from recsvc.data import make_split
from training.run import Run
from training.sequence.data import prepare_sequences
from training.sequence.offline import offline_next_items
from training.sequence.space import BehaviourSpace

K = 5


@pytest.fixture(scope="module")
def served(ring, serve):
    with serve(ring.store) as service:
        service.wait_ready()
        yield service


@pytest.fixture(scope="module")
def trained(ring):
    """From a history of the user's ids to ids and scores of the PyTorch model."""
    run = Run.open(ring.run)
    log = run.load_log()
    data = prepare_sequences(log, make_split(log, run.config.split))
    model = BehaviourSpace().load_model(run, data)
    row_of = {item_id: row for row, item_id in enumerate(data.ids_of(log, range(data.num_items)))}
    ids = {row: item_id for item_id, row in row_of.items()}

    def answer(history, *, exclude_seen=True):
        rows = [row_of[item_id] for item_id in history if item_id in row_of]
        (items,) = offline_next_items(model, [rows], K, exclude_seen=exclude_seen)
        return [(ids[row], score) for row, score in items]

    answer.max_history = model.config.max_history
    answer.ids = list(row_of)
    return answer


def ask(service, history, **options):
    status, answer = service.ask("POST", "/v1/recommendations", {"history": history, "k": K, **options})
    assert status == 200, answer
    return answer


def same(answer, expected):
    assert [item["item_id"] for item in answer["items"]] == [item_id for item_id, _ in expected]
    assert [item["score"] for item in answer["items"]] == pytest.approx([score for _, score in expected], abs=1e-4)
    assert {item["reason"] for item in answer["items"]} == {"sequence"}


@pytest.mark.parametrize("history", [[], ["never seen"], ["never seen", "untouched", "never seen"]])
def test_nothing_known_is_answered_by_popularity_and_says_so(served, history):
    answer = ask(served, history)
    assert {item["reason"] for item in answer["items"]} == {"popular"} and len(answer["items"]) == K
    assert answer["unknown"] == list(dict.fromkeys(history))
    assert answer["items"] == ask(served, [])["items"]


def test_one_item(served, trained):
    same(ask(served, ["item/9"]), trained(["item/9"]))


def test_unknown_ids_change_nothing_but_the_report(served, trained):
    known = ["item/9", "item/10", "item/11"]
    answer = ask(served, ["gone", "item/9", "untouched", "item/10", "item/11", "gone"])
    same(answer, trained(known))
    assert answer["unknown"] == ["gone", "untouched"]


def test_of_a_longer_history_the_newest_are_read_and_all_are_left_out(served, trained):
    history = [trained.ids[n % 30] for n in range(5 * trained.max_history)]
    answer = ask(served, history)
    same(answer, trained(history))
    assert not {item["item_id"] for item in answer["items"]} & set(history)
    newest = history[-trained.max_history :]
    again = ask(served, newest, exclude_seen=False)
    assert [i["item_id"] for i in again["items"]] == [
        i["item_id"] for i in ask(served, history, exclude_seen=False)["items"]
    ]
    same(again, trained(history, exclude_seen=False))


def test_one_item_two_hundred_times(served, trained):
    history = ["item/9"] * 200
    answer = ask(served, history)
    same(answer, trained(history))
    assert "item/9" not in {item["item_id"] for item in answer["items"]}
    same(ask(served, history, exclude_seen=False), trained(history, exclude_seen=False))
