"""Filters on attributes: what a thing must satisfy to be in an answer, as JSON and as frozen models.

A filter is a condition on one attribute, or a combination of filters:

- ``{"attribute": "genres", "eq": "Drama"}``: a text as it is written, or a number (``1994`` finds "1994.0" too);
- ``{"attribute": "genres", "in": ["Drama", "Noir"]}``: any of these;
- ``{"attribute": "year", "gte": 1990, "lt": 2000}``: a range of numbers, or of ISO 8601 dates given as texts;
- ``{"and": [...]}``, ``{"or": [...]}``, ``{"not": ...}``.

Of an attribute that is a list, any one value may satisfy a condition (a range: one value within both bounds). What does
not have the attribute fails every condition on it, so it passes the condition's ``not``.
"""

import difflib
import json
import math
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)

from recsvc.errors import RequestError
from recsvc.search.order import DATE, MAX_TEXT_BYTES, NUMBER, Lane, epoch_seconds, text_bytes

MAX_DEPTH: Final = 8
"""Levels of a filter; a condition alone has one."""
MAX_CONDITIONS: Final = 64
MAX_IN_VALUES: Final = 256
MAX_VALUES: Final = 1024
"""Of all ``in`` lists of a filter together."""

_LARGEST_WHOLE: Final = 2**53 - 1
"""Whole numbers beyond it are not told apart as float64."""
_BOUNDS: Final = ("gt", "gte", "lt", "lte")
_KINDS: Final = {
    "and": "And",
    "or": "Or",
    "not": "Not",
    "eq": "Equals",
    "in": "AnyOf",
    **dict.fromkeys(_BOUNDS, "Range"),
}
"""What the keys of an object make it."""
_CHOICE: Final = "give exactly one of and, or, not; or an attribute with one of eq, in, and the bounds gt, gte, lt, lte"


class Interval(NamedTuple):
    """The numbers or dates between two bounds.

    Attributes:
        lane: Numbers or dates.
        low: The lower bound, ``-inf`` for none.
        above: Whether ``low`` itself is outside.
        high: The upper bound, ``inf`` for none.
        below: Whether ``high`` itself is outside.
    """

    lane: Lane
    low: float
    above: bool
    high: float
    below: bool


def _check_name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{_shown(value)} is not the name of an attribute")
    return _check_text(value)


def _check_value(value: object) -> str | float:
    """A text as it is, a number as float64."""
    if isinstance(value, str):
        return _check_text(value)
    number = _check_number(value, "a text or a number")
    if abs(number) > _LARGEST_WHOLE:
        raise ValueError(f"numbers beyond {_LARGEST_WHOLE} are not told apart; give it as a text")
    return number


def _check_values(value: object) -> list[object]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError(f"{_shown(value)} is not a list of texts and numbers")
    if not 1 <= len(value) <= MAX_IN_VALUES:
        raise ValueError(f"the list has {len(value)} values; it may have 1 to {MAX_IN_VALUES}")
    return list(value)


def _check_bound(value: object) -> str | float:
    """A date as it is, a number as float64."""
    if not isinstance(value, str):
        return _check_number(value, "a number or a date as text")
    if epoch_seconds(_check_text(value)) is None:
        raise ValueError(f"{_shown(value)} is not a date such as '2024-05-31'; a number stands without quotes")
    return value


def _check_text(text: str) -> str:
    if text_bytes(text) is None:
        raise ValueError(f"{_shown(text)} is no valid Unicode or longer than {MAX_TEXT_BYTES} bytes in UTF-8")
    return text


def _check_number(value: object, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{_shown(value)} is not {wanted}")
    if not abs(value) <= sys.float_info.max:
        raise ValueError("the number is not finite")
    return float(value)


def _shown(value: object) -> str:
    """A value in a message: short, whatever it is."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"{value[:40]!r}..."
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list | tuple | set | frozenset) else "an object"


_Text = Annotated[str, Field(max_length=MAX_TEXT_BYTES)]
_Exact = Annotated[float, Field(ge=-_LARGEST_WHOLE, le=_LARGEST_WHOLE)]
_Finite = Annotated[float, Field(ge=-sys.float_info.max, le=sys.float_info.max)]
_Value = Annotated[_Text | _Exact, BeforeValidator(_check_value)]
_Bound = Annotated[_Text | _Finite, BeforeValidator(_check_bound)]


def _describe_bounds(schema: dict[str, Any]) -> None:
    """In JSON a bound is left out rather than null, and at least one is there."""
    for name in _BOUNDS:
        bound = schema["properties"][name]
        bound["anyOf"] = [kind for kind in bound["anyOf"] if kind != {"type": "null"}]
        bound.pop("default", None)
    schema["anyOf"] = [{"required": [name]} for name in _BOUNDS]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class _Condition(_Part):
    attribute: Annotated[
        str,
        Field(min_length=1, max_length=MAX_TEXT_BYTES),
        BeforeValidator(_check_name),
        Field(description="Of the catalogue, or one of item_id, title, node_type and popularity."),
    ]


class Equals(_Condition):
    """The attribute has this value; a number equals the texts that are written for it."""

    value: Annotated[_Value, Field(alias="eq")]


class AnyOf(_Condition):
    """The attribute has one of these values."""

    values: Annotated[
        tuple[_Value, ...],
        Field(min_length=1, max_length=MAX_IN_VALUES),
        BeforeValidator(_check_values),
        Field(alias="in"),
    ]


class Range(_Condition):
    """The attribute lies between bounds: all of them numbers, or all ISO 8601 dates (in UTC; a day is its start)."""

    model_config = ConfigDict(json_schema_extra=_describe_bounds)

    gt: _Bound | None = None
    gte: _Bound | None = None
    lt: _Bound | None = None
    lte: _Bound | None = None

    @model_validator(mode="after")
    def _check_one_kind(self) -> Self:
        kinds = {isinstance(bound, str) for bound in self._bounds() if bound is not None}
        if not kinds:
            raise ValueError("give at least one of gt, gte, lt, lte")
        if len(kinds) > 1:
            raise ValueError("the bounds of a range must be all numbers or all dates")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_null(self, serialise: SerializerFunctionWrapHandler) -> dict[str, str | float]:
        return {name: value for name, value in serialise(self).items() if value is not None}

    def _bounds(self) -> tuple[str | float | None, ...]:
        return self.gt, self.gte, self.lt, self.lte

    @property
    def interval(self) -> Interval:
        """Its numbers, or its dates in epoch seconds; of two bounds on one side the tighter."""
        lane: Lane = DATE if any(isinstance(bound, str) for bound in self._bounds()) else NUMBER
        gt, gte, lt, lte = (epoch_seconds(bound) if isinstance(bound, str) else bound for bound in self._bounds())
        low, above = max((-math.inf if gte is None else gte, False), (-math.inf if gt is None else gt, gt is not None))
        high, inside = min((math.inf if lte is None else lte, True), (math.inf if lt is None else lt, lt is None))
        return Interval(lane, low, above, high, not inside)


class And(_Part):
    """All of these filters hold."""

    filters: Annotated[tuple["_Node", ...], Field(alias="and", min_length=1, max_length=MAX_CONDITIONS)]


class Or(_Part):
    """At least one of these filters holds."""

    filters: Annotated[tuple["_Node", ...], Field(alias="or", min_length=1, max_length=MAX_CONDITIONS)]


class Not(_Part):
    """This filter does not hold."""

    filter: Annotated["_Node", Field(alias="not")]


def _kind(value: object) -> str | None:
    """Which of the models an object or a model is."""
    if isinstance(value, Mapping):
        return next((name for key, name in _KINDS.items() if key in value), None)
    return type(value).__name__


_Any: TypeAlias = (
    Annotated[Equals, Tag("Equals")]
    | Annotated[AnyOf, Tag("AnyOf")]
    | Annotated[Range, Tag("Range")]
    | Annotated[And, Tag("And")]
    | Annotated[Or, Tag("Or")]
    | Annotated[Not, Tag("Not")]
)
_Node: TypeAlias = Annotated[_Any, Discriminator(_kind)]
for _model in (And, Or, Not):
    _model.model_rebuild()
_ADAPTER: TypeAdapter[_Any] = TypeAdapter(_Node)


def _parsed(value: object) -> _Any:
    """The filter of parsed JSON; a ValueError is one clause, with the place in the filter first."""
    _check_form(value)
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = [part for part in problem["loc"] if part not in _KINDS.values()]
        raise ValueError(_at(place, problem["msg"].removeprefix("Value error, "))) from None


Filter: TypeAlias = Annotated[
    _Any,
    Discriminator(_kind),
    BeforeValidator(_parsed),
    Field(
        title="Filter",
        description=(
            "What a thing must satisfy: a condition on one attribute (`eq`, `in`, or bounds of numbers or ISO 8601 "
            "dates), or `and`, `or` and `not` of filters. Any value of a list counts; what lacks the attribute fails "
            f"the condition. At most {MAX_DEPTH} levels, {MAX_CONDITIONS} conditions and {MAX_VALUES} values."
        ),
        examples=[
            {"attribute": "genres", "eq": "Drama"},
            {
                "and": [
                    {"attribute": "year", "gte": 1990, "lt": 2000},
                    {"not": {"attribute": "genres", "in": ["Horror"]}},
                ]
            },
        ],
    ),
]
"""A filter, as the type of a pydantic field; the models themselves pass through it."""


def parse_filter(value: object) -> Filter:
    """Read a filter from a JSON text or from what it parses to; a filter is returned as it is.

    >>> parse_filter({"attribute": "year", "gte": 1990, "lt": 2000}).interval
    Interval(lane=0, low=1990.0, above=False, high=2000.0, below=True)

    Raises:
        RequestError: If it is none, or is beyond the limits; the message names the place in the filter.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"The filter cannot be used: it is no JSON that can be read ({error}).") from None
    try:
        return _parsed(value)
    except ValueError as error:
        raise RequestError(f"The filter cannot be used: {error}.") from None


def _check_form(value: object) -> None:
    """Refuse what is too deep or too large, and keys that make no filter, without recursion."""
    pending: list[tuple[object, tuple[str | int, ...]]] = [(value, ())]
    conditions = values = 0
    while pending:
        part, place = pending.pop()
        if sum(isinstance(step, str) for step in place) >= MAX_DEPTH:
            raise ValueError(f"it has more than {MAX_DEPTH} levels")
        kind = _kind(part) if isinstance(part, _Part) else _check_keys(part, place)
        if kind in {"And", "Or", "Not"}:
            pending.extend(_children(part, place))
        else:
            conditions += 1
            listed = part.get("in") if isinstance(part, Mapping) else getattr(part, "values", ())
            values += len(listed) if isinstance(listed, list | tuple | set | frozenset) else 0
        if conditions + len(pending) > MAX_CONDITIONS:
            raise ValueError(f"it has more than {MAX_CONDITIONS} conditions")
        if values > MAX_VALUES:
            raise ValueError(f"its lists have more than {MAX_VALUES} values in all")


def _check_keys(part: object, place: tuple[str | int, ...]) -> str:
    """Which model the keys of an object make it."""
    if not isinstance(part, Mapping):
        raise ValueError(_at(place, f"{_shown(part)} is not a filter; {_CHOICE}"))
    for key in part:
        if key not in _KINDS and key != "attribute":
            (near,) = difflib.get_close_matches(str(key)[:40], [*_KINDS, "attribute"], n=1, cutoff=0.0)
            raise ValueError(_at(place, f"a filter has no key {_shown(key)}; the nearest is {near!r}"))
    kinds = {_KINDS[key] for key in part if key != "attribute"}
    if len(kinds) != 1:
        raise ValueError(_at(place, _CHOICE))
    (kind,) = kinds
    if ("attribute" in part) != (kind in {"Equals", "AnyOf", "Range"}):
        raise ValueError(_at(place, _CHOICE))
    for key in _BOUNDS:
        if key in part and part[key] is None:
            raise ValueError(_at((*place, key), "null is no bound; leave it out"))
    return kind


def _children(part: object, place: tuple[str | int, ...]) -> list[tuple[object, tuple[str | int, ...]]]:
    """The filters that a combination holds, with their places."""
    if isinstance(part, Not):
        return [(part.filter, (*place, "not"))]
    if isinstance(part, And | Or):
        name = "and" if isinstance(part, And) else "or"
        return [(each, (*place, name, number)) for number, each in enumerate(part.filters)]
    assert isinstance(part, Mapping)
    if "not" in part:
        return [(part["not"], (*place, "not"))]
    key = "and" if "and" in part else "or"
    filters = part[key]
    if not isinstance(filters, list | tuple) or not filters:
        raise ValueError(_at((*place, key), "give a list of at least one filter"))
    return [(each, (*place, key, number)) for number, each in enumerate(filters[: MAX_CONDITIONS + 1])]


def _at(place: "list[str | int] | tuple[str | int, ...]", problem: str) -> str:
    return f"{'.'.join(map(str, place))}: {problem}" if place else problem
