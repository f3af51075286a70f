"""Filters as JSON: what is read, what is refused and in which words, and limits that hostile input cannot pass."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from recsvc.errors import RequestError
from recsvc.search.filters import And, AnyOf, Equals, Filter, Interval, Not, Or, Range, parse_filter
from recsvc.search.order import DATE, NUMBER, TEXT, epoch_seconds, order_key, text_bytes

DRAMA = {"attribute": "genres", "eq": "Drama"}
NINETIES = {"attribute": "year", "gte": 1990, "lt": 2000}
ADAPTER = TypeAdapter(Filter)


def nested(value: object, levels: int, key: str = "not") -> object:
    for _ in range(levels):
        value = {key: value} if key == "not" else {key: [value]}
    return value


FORMS = [
    (DRAMA, Equals, {"attribute": "genres", "value": "Drama"}),
    ({"attribute": "year", "eq": 1994}, Equals, {"attribute": "year", "value": 1994.0}),
    ({"attribute": "genres", "in": ["Drama", 3]}, AnyOf, {"attribute": "genres", "values": ("Drama", 3.0)}),
    (NINETIES, Range, {"attribute": "year", "gt": None, "gte": 1990.0, "lt": 2000.0, "lte": None}),
    ({"and": [DRAMA]}, And, {"filters": (parse_filter(DRAMA),)}),
    ({"or": [DRAMA, NINETIES]}, Or, {"filters": (parse_filter(DRAMA), parse_filter(NINETIES))}),
    ({"not": {"and": [DRAMA]}}, Not, {"filter": parse_filter({"and": [DRAMA]})}),
]


@pytest.mark.parametrize(("value", "model", "fields"), FORMS, ids=[str(form[0]) for form in FORMS])
def test_every_form_is_read_and_written_as_it_came(value: object, model: type[BaseModel], fields: dict) -> None:
    found = parse_filter(value)
    assert type(found) is model and dict(found) == fields
    assert found.model_dump(mode="json") == value
    assert parse_filter(json.dumps(value)) == found == parse_filter(found)
    assert len({found, parse_filter(value)}) == 1
    with pytest.raises(ValidationError, match="frozen"):
        setattr(found, next(iter(fields)), "other")


@pytest.mark.parametrize(
    ("bounds", "interval"),
    [
        ({"gt": 1}, Interval(NUMBER, 1, True, float("inf"), False)),
        ({"lte": -2.5}, Interval(NUMBER, float("-inf"), False, -2.5, False)),
        ({"gt": 3, "gte": 3, "lt": 5, "lte": 5}, Interval(NUMBER, 3, True, 5, True)),
        ({"gt": 2, "gte": 3, "lt": 6, "lte": 5}, Interval(NUMBER, 3, False, 5, False)),
        ({"gte": "1970-01-02", "lt": "1970-01-01T00:00:30Z"}, Interval(DATE, 86400, False, 30, True)),
    ],
)
def test_the_interval_of_a_range_has_the_tighter_bounds(bounds: dict[str, object], interval: Interval) -> None:
    assert parse_filter({"attribute": "a", **bounds}).interval == interval


A_TEXT = {"attribute": "a", "eq": "b"}
CHOICE = "give exactly one of and, or, not; or an attribute with one of eq, in"
REFUSED = [
    (None, "null is not a filter; " + CHOICE),
    ([A_TEXT], "a list is not a filter"),
    ({}, CHOICE),
    ({"attribute": "a"}, CHOICE),
    ({"eq": "b"}, CHOICE),
    ({"attribute": "a", "and": [A_TEXT]}, CHOICE),
    ({"attribute": "a", "eq": 1, "in": [1]}, CHOICE),
    ({"attribute": "a", "eq": 1, "gt": 1}, CHOICE),
    ({"and": [A_TEXT], "not": A_TEXT}, CHOICE),
    ({"attribute": "a", "equals": 1}, "no key 'equals'; the nearest is 'eq'"),
    ({"atribute": "a", "eq": 1}, "no key 'atribute'; the nearest is 'attribute'"),
    ({"and": []}, "and: give a list of at least one filter"),
    ({"or": A_TEXT}, "or: give a list of at least one filter"),
    ({"and": [A_TEXT, {"not": 3}]}, "and.1.not: a number is not a filter"),
    (
        {"and": [A_TEXT, {"or": [A_TEXT, {"attribute": "a", "in": [1, None]}]}]},
        "and.1.or.1.in.1: null is not a text or",
    ),
    ({"attribute": "", "eq": 1}, "attribute: '' is not the name of an attribute"),
    ({"attribute": 3, "eq": 1}, "attribute: a number is not the name of an attribute"),
    ({"attribute": "a", "eq": True}, "eq: true is not a text or a number"),
    ({"attribute": "a", "eq": {}}, "eq: an object is not a text or a number"),
    ({"attribute": "a", "eq": float("nan")}, "eq: the number is not finite"),
    ({"attribute": "a", "lt": float("inf")}, "lt: the number is not finite"),
    ({"attribute": "a", "eq": 10**400}, "eq: the number is not finite"),
    ({"attribute": "a", "eq": 2**53}, "eq: numbers beyond 9007199254740991 are not told apart; give it as a text"),
    ({"attribute": "a", "eq": "\ud800"}, r"eq: '\ud800' is no valid Unicode"),
    ({"attribute": "a", "in": "Drama"}, "in: 'Drama' is not a list of texts and numbers"),
    ({"attribute": "a", "in": []}, "in: the list has 0 values; it may have 1 to 256"),
    ({"attribute": "a", "lt": None}, "lt: null is no bound; leave it out"),
    ({"attribute": "a", "gt": "1990"}, "gt: '1990' is not a date such as '2024-05-31'; a number stands without quotes"),
    ({"attribute": "a", "gt": "2024-02-30"}, "is not a date"),
    ({"attribute": "a", "gt": 1, "lt": "2024-01-01"}, "the bounds of a range must be all numbers or all dates"),
    ("{'a': 1}", "it is no JSON that can be read"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[f"{value!r}"[:60] for value, _ in REFUSED])
def test_what_is_no_filter_is_refused_in_one_sentence(value: object, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_filter(value)
    text = str(caught.value)
    assert text.startswith("The filter cannot be used: ") and message in text
    assert "\n" not in text and len(text) < 300


WITHIN = [
    nested(A_TEXT, 7),
    nested(A_TEXT, 7, "and"),
    {"or": [A_TEXT] * 64},
    {"attribute": "a", "in": list(range(256))},
    {"or": [{"attribute": "a", "in": list(range(256))}] * 4},
    {"attribute": "é" * 256, "eq": "x" * 512},
    {"attribute": "a", "eq": 2**53 - 1},
    {"attribute": "a", "lt": int(1e300)},
]
BEYOND = [
    (nested(A_TEXT, 8), "more than 8 levels"),
    (nested(A_TEXT, 8, "or"), "more than 8 levels"),
    ({"or": [A_TEXT] * 65}, "more than 64 conditions"),
    ({"or": [{"and": [A_TEXT] * 33}, {"and": [A_TEXT] * 33}]}, "more than 64 conditions"),
    ({"attribute": "a", "in": list(range(257))}, "257 values; it may have 1 to 256"),
    ({"or": [{"attribute": "a", "in": list(range(205))}] * 5}, "more than 1024 values"),
    ({"attribute": "é" * 257, "eq": 1}, "longer than 512 bytes"),
    ({"attribute": "a", "eq": "x" * 513}, "longer than 512 bytes"),
    ({"attribute": "a", "in": ["é" * 257]}, "longer than 512 bytes"),
]


@pytest.mark.parametrize("value", WITHIN, ids=[f"{value!r}"[:40] for value in WITHIN])
def test_limits_may_be_reached(value: object) -> None:
    assert parse_filter(value).model_dump(mode="json") == value


@pytest.mark.parametrize(("value", "message"), BEYOND, ids=[message for _, message in BEYOND])
def test_limits_may_not_be_passed(value: object, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_filter(value)
    models = value
    if isinstance(value, dict) and "or" in value:  # limits count through models too
        models = {"or": [ADAPTER.validate_python(each) for each in value["or"]]}
    with pytest.raises(RequestError, match=message):
        parse_filter(models)


def bottomless(kind: type) -> object:
    value: object = kind()
    for _ in range(100_000):
        value = [value] if kind is list else {"x": value}
    return value


DEEP = [bottomless(list), bottomless(dict)]
HOSTILE = [
    nested(A_TEXT, 100_000),
    nested(A_TEXT, 100_000, "and"),
    *DEEP,
    *({"and": value} for value in DEEP),
    *({"and": [value]} for value in DEEP),
    *({"not": value} for value in DEEP),
    *({"attribute": value, "eq": 1} for value in DEEP),
    *({"attribute": "a", key: value} for value in DEEP for key in ("eq", "in", "gt", "lte")),
    *({"attribute": "a", "in": [1, value]} for value in DEEP),
    {"x" * 1_000_000: 1},
    {"attribute": "x" * 1_000_000, "eq": 1},
    {"attribute": "a", "eq": "x" * 1_000_000},
    {"or": [A_TEXT] * 1_000_000},
    "[" * 1_000_000,
    '{"not":' * 1_000_000,
    '{"attribute": "a", "eq": ' + "9" * 100_000 + "}",
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_input_is_refused_shortly(number: int) -> None:
    with pytest.raises(RequestError) as caught:
        parse_filter(HOSTILE[number])
    assert len(str(caught.value)) < 300


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["and", "or", "not", "attribute", "eq", "in", "gt", "gte", "lt", "lte", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(json_like.filter(lambda value: not isinstance(value, str)))
def test_any_json_is_a_filter_or_refused(value: object) -> None:
    try:
        found = parse_filter(value)
    except RequestError as error:
        with pytest.raises(ValidationError):
            ADAPTER.validate_python(value)
        assert str(error).startswith("The filter cannot be used: ")
    else:
        assert ADAPTER.validate_python(value) == found == parse_filter(found.model_dump_json())


def test_as_the_type_of_a_field_it_names_the_place() -> None:
    class Question(BaseModel):
        filter: Filter | None = None

    assert Question(filter=DRAMA).filter == parse_filter(DRAMA)
    assert Question.model_validate_json('{"filter": null}').filter is None
    assert Question(filter=parse_filter(DRAMA)).model_dump_json() == '{"filter":{"attribute":"genres","eq":"Drama"}}'
    with pytest.raises(ValidationError) as caught:
        Question(filter={"and": [DRAMA, {"attribute": "year", "gte": "1990"}]})
    (problem,) = caught.value.errors()
    assert problem["loc"] == ("filter",)
    assert problem["msg"].startswith("Value error, and.1.gte: '1990' is not a date")


def test_the_json_schema_says_what_is_read() -> None:
    schema = ADAPTER.json_schema()
    parts = schema["$defs"]
    assert {part["$ref"].removeprefix("#/$defs/") for part in schema["oneOf"]} == set(parts)
    assert set(parts) == {"Equals", "AnyOf", "Range", "And", "Or", "Not"}
    assert all(part["additionalProperties"] is False and part["description"] for part in parts.values())
    assert parts["AnyOf"]["required"] == ["attribute", "in"]
    assert (parts["AnyOf"]["properties"]["in"]["minItems"], parts["AnyOf"]["properties"]["in"]["maxItems"]) == (1, 256)
    assert [set(each["required"]) for each in parts["Range"]["anyOf"]] == [{"gt"}, {"gte"}, {"lt"}, {"lte"}]
    assert "null" not in json.dumps(parts["Range"])
    for example in schema["examples"]:
        parse_filter(example)


@pytest.mark.parametrize(
    ("text", "lane", "key"),
    [
        ("1994", NUMBER, 1994.0),
        ("+1994.", NUMBER, 1994.0),
        ("1.994e3", NUMBER, 1994.0),
        ("-.5E-1", NUMBER, -0.05),
        ("007", NUMBER, 7.0),
        ("20240131", NUMBER, 20240131.0),
        *(
            (text, TEXT, 0.0)
            for text in ("", ".", "1e", "1e999", "nan", "inf", "1_000", " 1", "1\n", "٣", "0x1f", "1,5")
        ),
        ("1970-01-01", DATE, 0.0),
        ("1969-12-31T23:59:59.25Z", DATE, -0.75),
        ("1970-01-01 02:00+02:00", DATE, 0.0),
        ("1970-01-01T00:00-0130", DATE, 5400.0),
        ("0001-01-01T00:00+14:00", DATE, -62135596800.0 - 14 * 3600),
        ("9999-12-31T23:59:59-14:00", DATE, 253402300799.0 + 14 * 3600),
        *(
            (text, TEXT, 0.0)
            for text in ("2024-02-30", "2024-W05-1", "2024-05", "2024-05-31T24:00", "2024-05-31T18", "2024-05-31\n")
        ),
    ],
)
def test_what_counts_as_a_number_or_a_date(text: str, lane: int, key: float) -> None:
    assert order_key(text) == (lane, key)
    assert epoch_seconds(text) == (key if lane == DATE else None)


def test_texts_beyond_the_limit_cannot_be_asked_for() -> None:
    assert text_bytes("é" * 256) == "é".encode() * 256
    assert text_bytes("é" * 257) is None and text_bytes("\udc80") is None
