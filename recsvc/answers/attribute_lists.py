"""Which things have which values: the inverted lists of a release, ``attributes.safetensors``.

A *value* is one text of one attribute. The values of an attribute stand one after another: first those that are
numbers, by number, then the dates, by instant, then all other texts; equal ones by their bytes (`recsvc.search.order`
says which is what). So the rows of a range of numbers or dates are one slice of the file, and a text is found by
bisection. Beside the catalogue's own attributes stand ``item_id``, ``title``, ``node_type`` and ``popularity``, where
no attribute is called so. Names and texts longer than 512 bytes, which no filter can ask for, are left out.

Tensors, with A attributes, V values in all of them, K of which are numbers or dates, and P pairs of a value and a row:

==============  ===========  ==========================================================================
``things``      int64 [1]    number of rows of the catalogue
``names``       uint8        the attributes' names in UTF-8, end to end, in the order of their bytes
``name_starts`` int64 [A+1]  where each begins, and where the last ends
``lanes``       int64 [A,3]  how many values of each attribute are numbers, dates, other texts
``keys``        float64 [K]  the numbers and the epoch seconds of the dates, attribute by attribute
``texts``       uint8        the values in UTF-8, end to end
``text_starts`` int64 [V+1]  where each begins, and where the last ends
``rows``        int32 [P]    the catalogue's rows with each value, ascending
``row_starts``  int64 [V+1]  where those of each value begin, and where the last ends
==============  ===========  ==========================================================================

The same things give the same bytes.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from recsvc.answers.tensors import map_tensors
from recsvc.errors import ReleaseError
from recsvc.releases import CatalogueItem
from recsvc.search.filters import Interval
from recsvc.search.order import DATE, NUMBER, TEXT, order_key, text_bytes

Tensors = dict[str, npt.NDArray[Any]]
Rows = npt.NDArray[np.int32]

_DTYPES: Final[dict[str, type[np.generic]]] = {
    "things": np.int64,
    "names": np.uint8,
    "name_starts": np.int64,
    "lanes": np.int64,
    "keys": np.float64,
    "texts": np.uint8,
    "text_starts": np.int64,
    "rows": np.int32,
    "row_starts": np.int64,
}


@dataclass(frozen=True, slots=True)
class AttributeLists:
    """The inverted lists of one attribute.

    Attributes:
        first: Place of its first value among the values of the file.
        lanes: How many of its values are numbers, dates and other texts.
        keys: The numbers, then the epoch seconds of the dates, float64.
    """

    first: int
    lanes: tuple[int, int, int]
    keys: npt.NDArray[np.float64]
    _texts: memoryview  # bisection takes single numbers, which a view gives ten times faster than an array
    _text_starts: "memoryview[int]"
    _rows: Rows
    _row_starts: npt.NDArray[np.int64]

    def with_text(self, text: str) -> Rows:
        """The rows that have a text, as it is written."""
        lane, key = order_key(text)
        low, high = self._lane(lane)
        if lane != TEXT:
            low, high = self._between(Interval(lane, key, False, key, False))
        wanted = text.encode()
        place = low + bisect_left(range(low, high), wanted, key=self.text)
        found = place < high and self.text(place) == wanted
        return self._rows_of(place, place + 1 if found else place)

    def with_number(self, number: float) -> Rows:
        """The rows that have a number, however it is written; a row that has it in two ways comes twice."""
        return self.within(Interval(NUMBER, number, False, number, False))

    def within(self, interval: Interval) -> Rows:
        """The rows with a value in an interval; a row with several comes several times."""
        return self._rows_of(*self._between(interval))

    def text(self, value: int) -> bytes:
        """The text of one of its values, which it numbers from 0, in UTF-8."""
        place = self.first + value
        return bytes(self._texts[self._text_starts[place] : self._text_starts[place + 1]])

    def _lane(self, lane: int) -> tuple[int, int]:
        low = sum(self.lanes[:lane])
        return low, low + self.lanes[lane]

    def _between(self, interval: Interval) -> tuple[int, int]:
        start, end = self._lane(interval.lane)
        keys = self.keys[start:end]
        low = int(np.searchsorted(keys, interval.low, "right" if interval.above else "left"))
        high = int(np.searchsorted(keys, interval.high, "left" if interval.below else "right"))
        return start + low, start + high  # bounds that cross give an empty slice

    def _rows_of(self, low: int, high: int) -> Rows:
        return self._rows[self._row_starts[self.first + low] : self._row_starts[self.first + high]]


def write_attributes(path: Path, items: Iterable[CatalogueItem]) -> None:
    """Write the inverted lists of the things of a catalogue, given in its order, to a new file."""
    save_file(build_lists(items), path)


def map_lists(path: Path) -> tuple[int, dict[str, AttributeLists]]:
    """Map a file of inverted lists whose sum has been verified.

    Returns:
        The number of things, and the lists by attribute.

    Raises:
        ReleaseError: If the file is missing, is no such file, or contradicts itself.
    """
    tensors = map_tensors(path)
    try:
        return split_lists(tensors)
    except ValueError as error:
        raise ReleaseError(f"{path} cannot be used: {error}.") from error


@dataclass(slots=True)
class _Pairs:
    """The values of one attribute by number, and who has them; a row may have a value twice."""

    numbers: dict[str, int] = field(default_factory=dict)
    values: "array[int]" = field(default_factory=lambda: array("i"))
    rows: "array[int]" = field(default_factory=lambda: array("i"))

    def add(self, row: int, text: str) -> None:
        if text_bytes(text) is not None:
            self.values.append(self.numbers.setdefault(text, len(self.numbers)))
            self.rows.append(row)


def build_lists(items: Iterable[CatalogueItem]) -> Tensors:
    """The tensors of the inverted lists of the things of a catalogue, given in its order."""
    given: dict[str, _Pairs] = {}
    beside = {name: _Pairs() for name in ("item_id", "title", "node_type", "popularity")}
    count = 0
    for row, item in enumerate(items):
        for name, value in item.attributes.items():
            pairs = given.setdefault(name, _Pairs())
            for text in [value] if isinstance(value, str) else value:
                pairs.add(row, text)
        beside["item_id"].add(row, item.item_id)
        beside["node_type"].add(row, item.node_type)
        beside["popularity"].add(row, str(item.popularity))
        if item.title is not None:
            beside["title"].add(row, item.title)
        count = row + 1
    named = {name: pairs for name, pairs in {**beside, **given}.items() if name and text_bytes(name) is not None}
    names = sorted(named)
    parts = [_lists(named[name]) for name in names]
    texts = [text for part in parts for text in part.texts]
    names_joined, name_starts = _joined(names)
    texts_joined, text_starts = _joined(texts)
    return {
        "things": np.array([count], np.int64),
        "names": names_joined,
        "name_starts": name_starts,
        "lanes": np.array([part.lanes for part in parts], np.int64).reshape(len(parts), 3),
        "keys": np.concatenate([part.keys for part in parts]),
        "texts": texts_joined,
        "text_starts": text_starts,
        "rows": np.concatenate([part.rows for part in parts]),
        "row_starts": _starts(np.concatenate([part.counts for part in parts])),
    }


@dataclass(frozen=True, slots=True)
class _Part:
    texts: list[str]
    lanes: tuple[int, int, int]
    keys: npt.NDArray[np.float64]
    rows: Rows
    counts: npt.NDArray[np.int64]


def _lists(pairs: _Pairs) -> _Part:
    # Code points and bytes of UTF-8 stand in the same order.
    keyed = sorted((*order_key(text), text) for text in pairs.numbers)
    place = np.empty(len(keyed), dtype=np.int64)
    place[[pairs.numbers[text] for _, _, text in keyed]] = np.arange(len(keyed))
    values, rows = place[np.asarray(pairs.values, dtype=np.int64)], np.asarray(pairs.rows, dtype=np.int32)
    order = np.argsort(values, kind="stable")  # rows came ascending, so they stay so in each value
    values, rows = values[order], rows[order]
    once = np.ones(len(values), dtype=np.bool_)
    once[1:] = (values[1:] != values[:-1]) | (rows[1:] != rows[:-1])
    in_lane = [sum(lane == wanted for lane, _, _ in keyed) for wanted in (NUMBER, DATE, TEXT)]
    return _Part(
        texts=[text for _, _, text in keyed],
        lanes=(in_lane[NUMBER], in_lane[DATE], in_lane[TEXT]),
        keys=np.array([key for lane, key, _ in keyed if lane != TEXT], dtype=np.float64),
        rows=rows[once],
        counts=np.bincount(values[once], minlength=len(keyed)).astype(np.int64),
    )


def _joined(texts: list[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    encoded = [text.encode() for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), _starts(np.array([len(each) for each in encoded], np.int64))


def _starts(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def split_lists(tensors: Tensors) -> tuple[int, dict[str, AttributeLists]]:
    """The number of things, and the lists by attribute, as views of the tensors.

    Raises:
        ValueError: If the tensors contradict themselves; one clause.
    """
    _check_types(tensors)
    (count,) = tensors["things"].tolist()
    lanes = tensors["lanes"].tolist()
    names = [bytes(each).decode() for each in _cut(tensors["names"], tensors["name_starts"])]
    if len(lanes) != len(names) or names != sorted(set(names)):
        raise ValueError("its names are not as many as its lanes, or not in order")
    _check_rows(tensors, count)
    lists: dict[str, AttributeLists] = {}
    first = keyed = 0
    for name, (numbers, dates, others) in zip(names, lanes, strict=True):
        keys = tensors["keys"][keyed : keyed + numbers + dates]
        part = AttributeLists(
            first,
            (numbers, dates, others),
            keys,
            tensors["texts"].data,
            tensors["text_starts"].data,
            tensors["rows"],
            tensors["row_starts"],
        )
        first, keyed = first + numbers + dates + others, keyed + numbers + dates
        if first >= len(tensors["text_starts"]) or len(keys) != numbers + dates:
            raise ValueError("its lanes have more values than there are")
        _check_order(part, name)
        low = first - others
        texts = _cut(tensors["texts"], tensors["text_starts"][low : first + 1])
        if not all(before < after for before, after in pairwise(texts)):
            raise ValueError(f"the texts of {name!r} are not in order")
        lists[name] = part
    if first != len(tensors["text_starts"]) - 1 or keyed != len(tensors["keys"]):
        raise ValueError("its lanes have fewer values than there are")
    return count, lists


def _check_types(tensors: Tensors) -> None:
    for name, dtype in _DTYPES.items():
        if name not in tensors:
            raise ValueError(f"it has no tensor {name!r}")
        if tensors[name].dtype != dtype or tensors[name].ndim != (2 if name == "lanes" else 1):
            raise ValueError(f"its {name} are {tensors[name].dtype} {tensors[name].shape}")
    if tensors["things"].shape != (1,) or tensors["lanes"].shape[1:] != (3,) or (tensors["lanes"] < 0).any():
        raise ValueError("its things or lanes are no numbers of things and values")
    for name, of in (("name_starts", "names"), ("text_starts", "texts"), ("row_starts", "rows")):
        starts = tensors[name]
        ends_meet = len(starts) and starts[0] == 0 and starts[-1] == len(tensors[of])
        if not ends_meet or (starts[1:] < starts[:-1]).any():
            raise ValueError(f"its {name} do not lie in order within its {of}")
    if len(tensors["text_starts"]) != len(tensors["row_starts"]):
        raise ValueError("its texts are not as many as its lists of rows")


def _check_rows(tensors: Tensors, count: int) -> None:
    rows, starts = tensors["rows"], tensors["row_starts"]
    if (starts[1:] == starts[:-1]).any():
        raise ValueError("a value has no rows")
    if len(rows) and (rows.min() < 0 or rows.max() >= count):
        raise ValueError(f"its rows are not all in a catalogue of {count} things")
    falls = np.flatnonzero(rows[1:] <= rows[:-1]) + 1  # only where the rows of another value begin
    if not np.isin(falls, starts, assume_unique=True).all():
        raise ValueError("the rows of a value are not in order")


def _check_order(part: AttributeLists, name: str) -> None:
    numbers, dates, _ = part.lanes
    if not np.isfinite(part.keys).all():
        raise ValueError(f"the numbers or dates of {name!r} are not finite")
    rises = part.keys[1:] > part.keys[:-1]
    falls = part.keys[1:] < part.keys[:-1]
    if numbers and dates:
        rises[numbers - 1], falls[numbers - 1] = True, False  # between the lanes, where the keys do not compare
    # Bisection by bytes within equal keys, and among the texts that have none.
    equal = [(place, place + 1) for place in np.flatnonzero(~rises).tolist()]
    if falls.any() or not all(part.text(low) < part.text(high) for low, high in equal):
        raise ValueError(f"the numbers or dates of {name!r} are not in order")


def _cut(joined: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]) -> Iterator[bytes]:
    """The texts between the starts, a copy of a part of the file at a time."""
    if len(starts) == 0:
        return
    origin = int(starts[0])
    content = joined[origin : int(starts[-1])].tobytes()
    places = (starts - origin).tolist()
    for start, end in pairwise(places):
        yield content[start:end]
