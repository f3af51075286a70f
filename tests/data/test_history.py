"""Which events make a history, what they weigh, and what is dropped for being rare."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recsvc.data import HistoryConfig, InteractionLog, read_dataset
from recsvc.errors import ConfigError, DatasetError

SHOP = [
    ("u", "1", "view", 2.0),
    ("u", "2", "buy", 1.0),
    ("v", "3", "view", 0.5),
    ("u", "1", "cart", 3.0),
    ("v", "1", "buy", 4.0),
    ("u", "3", "buy", 0.25),
]


@pytest.fixture
def shop(tmp_path: Path, write_csv: Callable[..., Path]) -> Path:
    write_csv(tmp_path / "interactions.csv", ["user_id", "item_id", "event", "weight"], SHOP)
    return tmp_path


def histories(log: InteractionLog | None) -> dict[str, list[str]]:
    assert log is not None
    return {user: log.item_ids.ids_of(log.history(row)) for row, user in enumerate(log.users)}


def test_all_events_count_by_default(shop: Path) -> None:
    dataset = read_dataset(shop)
    assert histories(dataset.log) == {"u": ["1", "2", "1", "3"], "v": ["3", "1"]}
    assert dataset.log is not None
    assert dataset.log.weights is not None
    assert dataset.log.weights.tolist() == [2, 1, 3, 0.25, 0.5, 4]


def test_only_the_named_events_count_and_ids_follow_them(shop: Path) -> None:
    dataset = read_dataset(shop, HistoryConfig(events=("buy",)))
    assert dataset.log is not None
    assert histories(dataset.log) == {"u": ["2", "3"], "v": ["1"]}
    assert list(dataset.log.item_ids) == ["2", "1", "3"]
    assert dataset.interactions_read == 6


def test_weights_of_events_multiply_those_of_rows(shop: Path) -> None:
    log = read_dataset(shop, HistoryConfig(event_weights={"buy": 10, "view": 0})).log
    assert log is not None
    assert log.weights is not None
    assert log.weights.tolist() == [0, 10, 3, 2.5, 0, 40]


def test_weights_of_events_alone_make_weights(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    write_csv(tmp_path / "interactions.csv", ["user_id", "item_id", "event"], [row[:3] for row in SHOP])
    assert (log := read_dataset(tmp_path).log) is not None
    assert log.weights is None
    assert (log := read_dataset(tmp_path, HistoryConfig(event_weights={"buy": 2})).log) is not None
    assert log.weights is not None
    assert log.weights.tolist() == [1, 2, 1, 2, 1, 2]


def test_light_interactions_can_be_dropped(shop: Path) -> None:
    assert histories(read_dataset(shop, HistoryConfig(min_weight=1)).log) == {"u": ["1", "2", "1"], "v": ["1"]}
    config = HistoryConfig(min_weight=5, event_weights={"cart": 2, "buy": 5})
    assert histories(read_dataset(shop, config).log) == {"u": ["2", "1"], "v": ["1"]}


def test_users_come_in_the_order_of_what_is_left(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    rows = [("a", "rare"), ("b", "1"), ("b", "2"), ("a", "2"), ("a", "1")]
    write_csv(tmp_path / "interactions.csv", ["user_id", "item_id"], rows)
    log = read_dataset(tmp_path, HistoryConfig(min_item_interactions=2)).log
    assert log is not None
    assert list(log.users) == ["b", "a"]
    assert list(log.item_ids) == ["1", "2"]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(st.tuples(st.sampled_from("ABCDE"), st.sampled_from("vwxyz")), min_size=2, max_size=40),
    limits=st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_rare_items_and_users_are_dropped_until_both_limits_hold(
    tmp_path: Path, write_csv: Callable[..., Path], events: list[tuple[str, str]], limits: tuple[int, int]
) -> None:
    left, before = events, -1
    while len(left) != before:
        before = len(left)
        items = Counter(item for _, item in left)
        left = [(user, item) for user, item in left if items[item] >= limits[0]]
        users = Counter(user for user, _ in left)
        left = [(user, item) for user, item in left if users[user] >= limits[1]]
    write_csv(tmp_path / "interactions.csv", ["user_id", "item_id"], events)
    config = HistoryConfig(min_item_interactions=limits[0], min_user_interactions=limits[1])
    if len(left) == len(dict(left)):  # nothing left, or nobody with two
        with pytest.raises(DatasetError):
            read_dataset(tmp_path, config)
        return
    expected: dict[str, list[str]] = {}
    for user, item in left:
        expected.setdefault(user, []).append(item)
    assert histories(read_dataset(tmp_path, config).log) == expected


@pytest.mark.parametrize("config", [{"events": ["purchase"]}, {"event_weights": {"purchase": 2.0}}])
def test_an_event_that_never_occurs_lists_those_that_do(shop: Path, config: dict[str, object]) -> None:
    with pytest.raises(DatasetError, match="'purchase' never occurs; the events are 'view', 'buy', 'cart'"):
        read_dataset(shop, HistoryConfig.model_validate(config))


def test_a_config_that_speaks_of_columns_that_are_not_there(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    write_csv(tmp_path / "interactions.csv", ["user_id", "item_id"], [("u", "1"), ("u", "2")])
    with pytest.raises(ConfigError, match=r"interactions\.csv has no `event` column"):
        read_dataset(tmp_path, HistoryConfig(events=("buy",)))
    with pytest.raises(ConfigError, match=r"interactions\.csv has no `weight` column"):
        read_dataset(tmp_path, HistoryConfig(min_weight=1))


def test_filters_that_leave_nothing_to_learn_from(shop: Path) -> None:
    with pytest.raises(DatasetError, match="no interaction is left"):
        read_dataset(shop, HistoryConfig(min_item_interactions=9))
    with pytest.raises(DatasetError, match="each of the 1 users has a single interaction"):
        read_dataset(shop, HistoryConfig(events=("cart",)))


@pytest.mark.parametrize(
    "settings",
    [
        {"event_weights": {"buy": -1}},
        {"event_weights": {"buy": float("nan")}},
        {"events": ["view"], "event_weights": {"buy": 2}},
        {"min_weight": float("nan")},
        {"min_item_interactions": -1},
        {"event": ["view"]},
    ],
)
def test_a_config_that_cannot_be_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HistoryConfig.model_validate(settings)


def test_every_field_has_a_sentence() -> None:
    for field in HistoryConfig.model_fields.values():
        assert field.description
        assert field.description.endswith(".")
