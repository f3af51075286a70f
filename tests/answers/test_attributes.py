"""Masks of filters equal what a slow oracle reads off the catalogue."""

import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.answers.attribute_lists import build_lists, split_lists, write_attributes
from recsvc.answers.attributes import ATTRIBUTES_NAME, AttributeIndex, open_attributes
from recsvc.errors import RequestError
from recsvc.releases import Catalogue, CatalogueItem, write_catalogue
from recsvc.search.filters import parse_filter

Json = dict[str, Any]
BESIDE = ("item_id", "title", "node_type", "popularity")


def meaning(text: str) -> float | datetime | None:
    """What a text compares as in ranges, told by other means than the index uses."""
    if text and set(text) <= set("0123456789+-.eE"):
        with suppress(ValueError):
            return float(text) if math.isfinite(float(text)) else None
    if len(text) >= 10 and text[4] == text[7] == "-":
        with suppress(ValueError):
            found = datetime.fromisoformat(text)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def values_of(item: CatalogueItem, name: str, attributes: set[str]) -> list[str]:
    if name in attributes:
        found = item.attributes.get(name, [])
        return [text for text in ([found] if isinstance(found, str) else found) if len(text.encode()) <= 512]
    value = getattr(item, name)
    return [] if value is None else [str(value)]


def satisfies(item: CatalogueItem, wanted: Json, attributes: set[str]) -> bool:
    """Whether a thing passes a filter, by reading both."""
    if "and" in wanted:
        return all(satisfies(item, part, attributes) for part in wanted["and"])
    if "or" in wanted:
        return any(satisfies(item, part, attributes) for part in wanted["or"])
    if "not" in wanted:
        return not satisfies(item, wanted["not"], attributes)
    texts = values_of(item, wanted["attribute"], attributes)
    if "eq" in wanted or "in" in wanted:
        asked = [wanted["eq"]] if "eq" in wanted else wanted["in"]
        numbers = [value for value in map(meaning, texts) if isinstance(value, float)]
        return any(value in texts if isinstance(value, str) else value in numbers for value in asked)
    return any(within(meaning(text), wanted) for text in texts)


def within(value: float | datetime | None, wanted: Json) -> bool:
    bounds = {name: wanted[name] for name in ("gt", "gte", "lt", "lte") if name in wanted}
    if isinstance(next(iter(bounds.values())), str):
        bounds = {name: meaning(text) for name, text in bounds.items()}
    if not all(isinstance(value, datetime) == isinstance(bound, datetime) for bound in bounds.values()):
        return False
    if value is None:
        return False
    compare = {"gt": "__gt__", "gte": "__ge__", "lt": "__lt__", "lte": "__le__"}
    return all(
        getattr(value, compare[name])(type(value)(bound) if isinstance(bound, int) else bound)
        for name, bound in bounds.items()
    )


NUMBERS = ["1994", "1994.0", "+1994", "1.994e3", "-3", "007", "0", "-0", "2024", "3", "1e999", "12345678901234567890"]
DATES = [
    "2024-01-01",
    "2024-01-01T00:00",
    "2024-01-01T02:00:00+02:00",
    "2024-06-30T23:59:59.5Z",
    "1960-05-05",
    "2024-02-30",
]
WORDS = ["Drama", "drama", "Noir", "Dram", "Drama ", "", "Zoë 🎬", "nan", "é" * 256, "é" * 257, "20240101x"]
NAMES = ["genres", "year", "added", "Größe 🎬"]
texts = (
    st.sampled_from(NUMBERS + DATES + WORDS)
    | st.integers(-5, 5).map(str)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
)
named = st.sampled_from([*NAMES, *BESIDE])
catalogues = st.lists(
    st.builds(
        CatalogueItem,
        item_id=texts,
        title=st.none() | texts,
        attributes=st.dictionaries(named, texts | st.lists(texts, max_size=4), max_size=4),
        popularity=st.integers(0, 2**63 - 1) | st.integers(0, 3),
        node_type=st.sampled_from(["film", "genre", "1994"]),
    ),
    unique_by=lambda item: (item.node_type, item.item_id),
    max_size=25,
).map(lambda items: sorted(items, key=lambda item: item.node_type != "film"))

askable = texts.filter(lambda text: len(text.encode()) <= 512)
asked = askable | st.sampled_from([1994, 1994.0, -3, 0, -0.0, 7, 2.5, 2024]) | st.integers(-5, 5)
number_bounds = st.sampled_from([1994, 0, -3, 2024.0, 1e19, -0.0]) | st.integers(-5, 5) | st.floats(-10, 10)
date_bounds = st.sampled_from([text for text in DATES if text != "2024-02-30"]) | st.datetimes(
    datetime(1950, 1, 1),
    datetime(2030, 1, 1),
).map(datetime.isoformat)


def ranges(bounds: st.SearchStrategy) -> st.SearchStrategy[Json]:
    one = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), bounds, min_size=1)
    return st.builds(lambda name, found: {"attribute": name, **found}, named, one)


conditions = (
    st.builds(lambda name, value: {"attribute": name, "eq": value}, named, asked)
    | st.builds(lambda name, values: {"attribute": name, "in": values}, named, st.lists(asked, min_size=1, max_size=5))
    | ranges(number_bounds)
    | ranges(date_bounds)
)


def combined(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    several = st.lists(inner, min_size=1, max_size=3)
    return several.map(lambda f: {"and": f}) | several.map(lambda f: {"or": f}) | inner.map(lambda f: {"not": f})


filters = st.one_of(
    conditions, combined(conditions), combined(combined(conditions)), combined(combined(combined(conditions)))
)


def names_in(wanted: Json) -> set[str]:
    for key in ("and", "or", "not"):
        if key in wanted:
            parts = wanted[key] if isinstance(wanted[key], list) else [wanted[key]]
            return set().union(*map(names_in, parts))
    return {wanted["attribute"]}


@settings(max_examples=150, deadline=None)
@given(catalogues, st.lists(filters, min_size=3, max_size=12))
def test_masks_equal_the_oracle_from_the_file_and_from_the_catalogue(
    items: list[CatalogueItem], wanted: list[Json]
) -> None:
    attributes = {name for item in items for name in item.attributes}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_catalogue(folder / "catalogue.sqlite", items, item_type="film")
        catalogue = Catalogue.open(folder / "catalogue.sqlite")
        built = open_attributes(folder, catalogue)
        write_attributes(folder / ATTRIBUTES_NAME, iter(items))
        mapped = open_attributes(folder, catalogue)
        assert mapped.names == built.names == tuple(sorted(attributes | set(BESIDE)))
        assert len(mapped) == len(built) == len(items)
        for each in wanted:
            for index in (mapped, built):
                if names_in(each) <= set(index.names):
                    found = index.mask(parse_filter(each))
                    assert found.dtype == np.bool_
                    assert found.tolist() == [satisfies(item, each, attributes) for item in items], each
                else:
                    with pytest.raises(RequestError, match="has no attribute"):
                        index.mask(parse_filter(each))
        catalogue.close()


@pytest.fixture
def films(things: list[CatalogueItem]) -> AttributeIndex:
    return AttributeIndex(*split_lists(build_lists(things)))


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        ({"attribute": "genres", "eq": "Drama"}, [0, 1]),
        ({"not": {"attribute": "genres", "eq": "Drama"}}, [2, 3]),  # those without the attribute too
        ({"attribute": "year", "eq": 1994}, [1]),
        ({"attribute": "year", "eq": "1994"}, []),  # a text is matched as it is written
        ({"attribute": "year", "gt": 1995, "lt": 2010}, []),  # one value within both bounds
        ({"attribute": "year", "gte": 1995}, [0, 1]),
        ({"attribute": "added", "lte": "2024-01-31"}, [0]),  # a day is its first instant
        ({"attribute": "added", "lt": "2024-02-01"}, [0, 1]),
        ({"attribute": "added", "gte": 0}, []),  # a date is no number
        ({"attribute": "year", "gte": "1900-01-01"}, []),  # and a number no date
        ({"attribute": "genres", "gte": 0}, []),
        ({"attribute": "item_id", "in": ["c", "Drama"]}, [2, 3]),
        ({"attribute": "item_id", "eq": 1994}, [1]),
        ({"attribute": "title", "eq": "Heat"}, [0, 3]),
        ({"attribute": "node_type", "eq": "genre"}, [3]),
        ({"attribute": "popularity", "gt": 2, "lte": 7}, [0, 2]),
        ({"attribute": "sold out", "in": ["no", "yes"]}, [2]),
    ],
)
def test_a_filter_in_words(films: AttributeIndex, wanted: Json, rows: list[int]) -> None:
    assert np.flatnonzero(films.mask(parse_filter(wanted))).tolist() == rows


def test_texts_are_found_among_many_in_every_lane(things: list[CatalogueItem]) -> None:
    texts = [*map(str, range(-50, 150)), *(f"{n / 8}e1" for n in range(100)), *(f"word {n}" for n in range(100))]
    texts += [f"20{year}-{month:02}-15" for year in range(10, 30) for month in range(1, 13)]
    items = [replace(things[0], item_id=f"id {row}", attributes={"a": text}) for row, text in enumerate(texts)]
    index = AttributeIndex(*split_lists(build_lists(items)))
    for row, text in enumerate(texts):
        assert np.flatnonzero(index.mask(parse_filter({"attribute": "a", "eq": text}))).tolist() == [row]
    for absent in ("-51", "0.0", "word", "word 100", "2010-01-16", "2009-01-15", "", "zzz"):
        assert not index.mask(parse_filter({"attribute": "a", "eq": absent})).any()


def test_an_attribute_goes_before_what_every_thing_has(things: list[CatalogueItem]) -> None:
    items = [replace(things[0], attributes={"title": "other", "popularity": "9"}), things[1], things[3]]
    index = AttributeIndex(*split_lists(build_lists(items)))
    assert index.mask(parse_filter({"attribute": "title", "in": ["other", "Heat"]})).tolist() == [True, False, False]
    assert index.mask(parse_filter({"attribute": "popularity", "gte": 0})).tolist() == [True, False, False]


def test_an_unknown_attribute_is_refused_with_the_nearest(films: AttributeIndex) -> None:
    for wanted in (
        {"attribute": "genre", "eq": "Drama"},
        {"or": [{"attribute": "year", "gt": 0}, {"attribute": "genre", "eq": 1}]},
    ):
        with pytest.raises(RequestError, match="no attribute 'genre'; the nearest is 'genres'"):
            films.mask(parse_filter(wanted))
    with pytest.raises(RequestError) as caught:
        films.mask(parse_filter({"attribute": "x" * 512, "eq": 1}))
    assert len(str(caught.value)) < 200


def test_a_mask_cannot_be_changed_by_who_gets_it(films: AttributeIndex) -> None:
    mask = films.mask(parse_filter({"attribute": "genres", "eq": "Drama"}))
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = False


@pytest.mark.parametrize(
    "same",
    [
        [
            {"attribute": "year", "eq": 1994},
            {"attribute": "year", "eq": 1994.0},
            {"attribute": "year", "in": [1994, 1994]},
        ],
        [{"attribute": "genres", "in": ["Drama", "Crime"]}, {"attribute": "genres", "in": ["Crime", "Drama", "Crime"]}],
        [{"attribute": "year", "gt": 3}, {"attribute": "year", "gt": 3.0, "gte": 2}],
        [{"attribute": "added", "gt": "2024-01-01"}, {"attribute": "added", "gt": "2024-01-01T01:00+01:00"}],
        [
            {"and": [{"attribute": "year", "gt": 3}, {"not": {"attribute": "genres", "eq": "Drama"}}]},
            {"and": [{"not": {"attribute": "genres", "in": ["Drama"]}}, {"attribute": "year", "gt": 3}]},
        ],
    ],
)
def test_filters_that_say_the_same_share_a_mask(films: AttributeIndex, same: list[Json]) -> None:
    first = films.mask(parse_filter(same[0]))
    assert all(films.mask(parse_filter(each)) is first for each in same)
    assert len(films.cache) == 1


def test_filters_that_differ_do_not_share_a_mask(films: AttributeIndex) -> None:
    parts = [{"attribute": "year", "gte": 1995}, {"attribute": "genres", "eq": "Crime"}]
    several = [
        {"and": parts},
        {"or": parts},
        {"not": {"and": parts}},
        {"attribute": "year", "eq": 1994},
        {"attribute": "year", "eq": "1994"},
        {"attribute": "year", "gte": 1994},
        {"attribute": "year", "gt": 1994},
        {"attribute": "item_id", "eq": 1994},
    ]
    masks = [films.mask(parse_filter(each)) for each in several]
    assert len({id(mask) for mask in masks}) == len(films.cache) == len(several)


def test_the_cache_is_bounded_by_bytes_and_by_number(things: list[CatalogueItem]) -> None:
    count, lists = split_lists(build_lists(replace(things[0], item_id=str(row)) for row in range(1000)))

    def ask(index: AttributeIndex, value: object) -> np.ndarray:
        return index.mask(parse_filter({"attribute": "year", "in": [value, "x" * 400]}))

    by_bytes = AttributeIndex(count, lists, cache_bytes=40_000, cached_masks=10_000)
    for number in range(200):
        ask(by_bytes, number)
        assert 0 < by_bytes.cache.nbytes <= 40_000
    assert 5 < len(by_bytes.cache) < 40  # the text of the filter counts beside its mask of 1000 bytes
    by_number = AttributeIndex(count, lists, cached_masks=8)
    kept = ask(by_number, 0)
    for number in range(1, 50):
        ask(by_number, number)
        assert ask(by_number, 0) is kept  # used again and again
        assert len(by_number.cache) <= 8
    assert ask(by_number, 40) is not ask(AttributeIndex(count, lists), 40)
    too_large = AttributeIndex(count, lists, cache_bytes=4_000)
    assert ask(too_large, 1) is not ask(too_large, 1)
    assert (len(too_large.cache), too_large.cache.nbytes) == (0, 0)


def test_threads_share_an_index(things: list[CatalogueItem]) -> None:
    count, lists = split_lists(build_lists(replace(things[0], item_id=str(row), popularity=row) for row in range(500)))
    index = AttributeIndex(count, lists, cached_masks=5)
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(
            lambda n: index.mask(parse_filter({"attribute": "popularity", "lt": n % 17})).sum(), range(2000)
        )
        assert list(found) == [number % 17 for number in range(2000)]
    assert len(index.cache) <= 5
