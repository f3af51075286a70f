"""The file of inverted lists: the same bytes for the same things, mapped, and refused by name when it is damaged."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from recsvc.answers.attribute_lists import build_lists, map_lists, write_attributes
from recsvc.answers.attributes import ATTRIBUTES_NAME, AttributeIndex, open_attributes
from recsvc.answers.bundle import open_bundle
from recsvc.errors import ReleaseError
from recsvc.releases import Catalogue, CatalogueItem, Store, write_catalogue
from recsvc.search.filters import parse_filter


def test_the_same_things_give_the_same_bytes(tmp_path: Path, things: list[CatalogueItem]) -> None:
    turned = [
        replace(item, attributes=dict(reversed([(name, value) for name, value in item.attributes.items()])))
        for item in things
    ]
    write_attributes(tmp_path / "a", things)
    write_attributes(tmp_path / "b", iter(turned))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_lists_are_mapped(tmp_path: Path, things: list[CatalogueItem]) -> None:
    write_attributes(tmp_path / "a.safetensors", things)
    _, lists = map_lists(tmp_path / "a.safetensors")
    base: object = lists["genres"].with_text("Drama")
    while isinstance(base, np.ndarray) and isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap) and base.mode == "r"


def put(name: str, place: object, value: object) -> Callable[[dict[str, np.ndarray]], None]:
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors[name][place] = value

    return change


def swapped(name: str, first: int) -> Callable[[dict[str, np.ndarray]], None]:
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors[name][[first, first + 1]] = tensors[name][[first + 1, first]]

    return change


def made(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda tensors: tensors.update({name: np.ascontiguousarray(make(tensors[name]))})


# The values of those things: added has two dates, genres Crime and Drama, item_id 1994, Drama, a, c, ...
DAMAGES = [
    (lambda tensors: tensors.pop("rows"), "no tensor 'rows'"),
    (made("rows", lambda rows: rows.astype(np.int64)), "its rows are int64"),
    (made("keys", lambda keys: keys[None]), "its keys are float64"),
    (made("things", lambda things: np.repeat(things, 2)), "no numbers of things"),
    (put("things", 0, 3), "not all in a catalogue of 3 things"),
    (put("things", 0, 5), "of 5 things, the catalogue has 4"),
    (put("lanes", (0, 0), -1), "no numbers of things"),
    (put("lanes", (0, 2), 100), "more values than there are"),
    (put("lanes", (-1, 0), 1), "fewer values than there are"),
    (put("lanes", (0, 1), 50), "more values than there are"),
    (put("rows", 0, -1), "not all in a catalogue of 4"),
    (put("rows", 0, 4), "not all in a catalogue of 4"),
    (swapped("rows", 3), "rows of a value are not in order"),
    (put("row_starts", 0, 1), "its row_starts do not lie in order"),
    (put("row_starts", -1, 1000), "its row_starts do not lie in order"),
    (put("row_starts", 1, 1000), "its row_starts do not lie in order"),
    (put("row_starts", 1, 0), "a value has no rows"),
    (put("text_starts", 2, -5), "its text_starts do not lie in order"),
    (made("text_starts", lambda starts: np.delete(starts, 1)), "not as many as its lists of rows"),
    (put("keys", 0, np.nan), "of 'added' are not finite"),
    (swapped("keys", 0), "of 'added' are not in order"),
    (put("texts", slice(26, 27), ord("Z")), "texts of 'genres' are not in order"),
    (put("names", 0, 255), "utf-8"),
    (put("names", 0, ord("z")), "names are not as many"),
    (made("lanes", lambda lanes: lanes[:-1]), "names are not as many"),
    (made("text_starts", lambda starts: starts[:0]), "its text_starts do not lie in order"),
]


@pytest.mark.parametrize(("damage", "problem"), DAMAGES, ids=[problem for _, problem in DAMAGES])
def test_a_file_that_contradicts_itself_is_refused_by_name(
    tmp_path: Path,
    things: list[CatalogueItem],
    damage: Callable[[dict[str, np.ndarray]], object],
    problem: str,
) -> None:
    write_catalogue(tmp_path / "catalogue.sqlite", things, item_type="film")
    path = tmp_path / ATTRIBUTES_NAME
    write_attributes(path, things)
    tensors = {name: tensor.copy() for name, tensor in load_file(path).items()}
    damage(tensors)
    save_file(tensors, path)
    with pytest.raises(ReleaseError) as caught:
        open_attributes(tmp_path, Catalogue.open(tmp_path / "catalogue.sqlite"))
    assert str(path) in str(caught.value) and problem in str(caught.value)


def test_equal_keys_stand_in_the_order_of_their_texts(tmp_path: Path, things: list[CatalogueItem]) -> None:
    write_attributes(tmp_path / "a", [replace(things[0], attributes={"n": ["1", "1.0", "01"]})])
    tensors = load_file(tmp_path / "a")
    texts = tensors["texts"].copy()
    place = bytes(texts).index(b"0111.0")
    texts[place : place + 6] = list(b"1101.0")
    save_file({**tensors, "texts": texts}, tmp_path / "b")
    with pytest.raises(ReleaseError, match="of 'n' are not in order"):
        map_lists(tmp_path / "b")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_is_refused_or_harmless(things: list[CatalogueItem], data: st.DataObject) -> None:
    """Whatever passes the checks answers every question with rows of the catalogue, and never fails otherwise."""
    tensors = {name: tensor.copy() for name, tensor in build_lists(things).items()}
    for _ in range(data.draw(st.integers(1, 3))):
        raw = tensors[data.draw(st.sampled_from(sorted(tensors)))].reshape(-1).view(np.uint8)
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        save_file(tensors, path)
        try:
            count, lists = map_lists(path)
        except ReleaseError as error:
            assert str(path) in str(error)
            return
        if count != len(things):  # which is seen beside the catalogue
            return
        index = AttributeIndex(count, lists)
        for name in index.names:
            for value in ("Drama", "1994", 1994, "2024-01-31"):
                assert index.mask(parse_filter({"attribute": name, "eq": value})).shape == (count,)
            assert index.mask(parse_filter({"attribute": name, "gt": "2024-01-01"})).shape == (count,)


def test_a_release_without_the_file_answers_the_same(tmp_path: Path, tiny, store: Store) -> None:
    older = Store(tmp_path / "store")
    release = replace(tiny, inverted=False).publish(older)
    assert not (older.path_of(release) / ATTRIBUTES_NAME).exists()
    (active,) = store.current()
    assert (store.path_of(active.id) / ATTRIBUTES_NAME).is_file()
    bundles = [open_bundle(older.path_of(release), release), open_bundle(store.path_of(active.id), active.id)]
    assert bundles[0].attributes.names == bundles[1].attributes.names
    assert {"genre", "year", "item_id", "title", "node_type", "popularity"} == set(bundles[0].attributes.names)
    for wanted in ({"attribute": "year", "gte": 1910, "lt": 1925}, {"attribute": "node_type", "in": ["actor", "tag"]}):
        masks = [bundle.attributes.mask(parse_filter(wanted)) for bundle in bundles]
        assert np.array_equal(*masks) and 0 < masks[0].sum() < len(masks[0]) == len(tiny.things)


def test_a_file_of_another_release_is_refused(tmp_path: Path, tiny, things: list[CatalogueItem]) -> None:
    store = Store(tmp_path / "store")
    release = tiny.publish(store, tamper=lambda folder: write_attributes_over(folder / ATTRIBUTES_NAME, things))
    with pytest.raises(ReleaseError, match=rf"{ATTRIBUTES_NAME} cannot be used: it is of 4 things"):
        open_bundle(store.path_of(release), release)


def write_attributes_over(path: Path, things: list[CatalogueItem]) -> None:
    path.unlink()
    write_attributes(path, things)
