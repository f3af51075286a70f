"""The client says and reads what the OpenAPI document says: no operation, field or answer is forgotten."""

import dataclasses
import inspect
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from recsvc.client import AsyncClient, Client, Retries, ServiceError, answers, questions

DOCUMENT = json.loads((Path(__file__).parents[1] / "api" / "openapi.json").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
FILTER = {"attribute": "genre", "eq": "Drama"}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAGE = answers.Recommendations("r", "0" * 32, [], [], "none", {"history": ["1193"]})
ARGUMENTS = {
    "recommend": ((["1193"],), {"filter": FILTER}),
    "recommend_many": (([questions.Question(["1193"])],), {}),
    "next_page": ((PAGE,), {"k": 3}),
    "similar": (("1193",), {"exclude": ["661"]}),
    "similar_image": ((b"x",), {"exclude": ["661", "914"], "filter": FILTER}),
    "send_events": (([questions.Event(user_id="u", item_id="i", time=NOON)],), {}),
    "user": (("a/b", ), {"cursor": "1-2"}),
    "forget": (("u",), {}),
    "item": (("i",), {}),
    "set_states": (([questions.ItemState(item_id="i", expires=NOON)],), {}),
    "spaces": ((), {}),
    "releases": ((), {}),
    "activate": (("r",), {"reason": "better"}),
    "rollback": ((), {}),
    "split": (({"a": 0.5, "b": 0.5},), {}),
    "submit_job": (("retrain", {"cold": True}), {}),
    "jobs": ((), {"state": "failed", "cursor": "7"}),
    "job": (("0" * 16,), {}),
    "cancel_job": (("0" * 16,), {}),
    "retry_job": (("0" * 16,), {}),
    "alive": ((), {}),
    "ready": ((), {}),
    "metrics": ((), {}),
}  # fmt: skip


def operation_of(request: httpx.Request) -> dict:
    """The documented operation that a request is one of."""
    path = request.url.raw_path.decode().partition("?")[0]
    fixed = [known for known in DOCUMENT["paths"] if "{" not in known and known == path]
    made = [known for known in DOCUMENT["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", known), path)]
    template = max(fixed or made, key=len)  # that with a verb behind the id, if it is one
    return DOCUMENT["paths"][template][request.method.lower()]


def sent_by(name: str) -> httpx.Request:
    """The one request that a method sends."""
    sent = []

    def refuse(request: httpx.Request) -> httpx.Response:
        request.read()
        sent.append(request)
        return httpx.Response(418)

    arguments, named = ARGUMENTS[name]
    with Client("http://service", transport=httpx.MockTransport(refuse)) as client, pytest.raises(ServiceError):
        getattr(client, name)(*arguments, **named)
    (request,) = sent
    return request


def test_every_operation_has_a_method() -> None:
    documented = {operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()}
    assert {operation_of(sent_by(name))["operationId"] for name in ARGUMENTS} == documented


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    for kind in (Client, AsyncClient):
        methods = {name for name in dir(kind) if name[0] != "_"} - {"send", "close"}
        assert methods == ARGUMENTS.keys()
    for name in ARGUMENTS:
        one, other = getattr(Client("http://service"), name), getattr(AsyncClient("http://service"), name)
        assert inspect.signature(one) == inspect.signature(other)
        assert one.__doc__ and one.__doc__ == other.__doc__


@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_is_sent_has_no_field_that_is_not_documented(name: str) -> None:
    request = sent_by(name)
    operation = operation_of(request)
    queries = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"}
    assert set(request.url.params) <= queries
    if request.headers.get("content-type") == "application/json":
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        (reference,) = [part["$ref"] for part in schema.get("anyOf", [schema]) if "$ref" in part]
        body, schema = json.loads(request.content), SCHEMAS[reference.rpartition("/")[2]]
        if "discriminator" in schema:
            mapping = schema["discriminator"]["mapping"]
            schema = SCHEMAS[mapping[body["kind"]].rpartition("/")[2]]
        assert body.keys() <= schema["properties"].keys()


@pytest.mark.parametrize(
    ("sent", "schema", "by_method"),
    [
        (questions.Question, "RecommendationsRequest", {"after"}),
        (questions.Boost, "BoostIn", set()),
        (questions.Promotion, "PromotionIn", set()),
        (questions.Event, "EventIn", set()),
        (questions.ItemState, "ItemStateIn", set()),
    ],
)
def test_everything_that_can_be_asked_can_be_asked_here(sent: type, schema: str, by_method: set[str]) -> None:
    properties = SCHEMAS[schema]["properties"]
    fields = {field.name: field for field in dataclasses.fields(sent)}
    assert fields.keys() | by_method == properties.keys()
    for name, field in fields.items():
        # What is as it is by default is left out, so both must mean the same by it.
        if field.default not in (dataclasses.MISSING, None, ()):
            assert field.default == properties[name]["default"], name


def test_neighbours_take_all_that_is_documented() -> None:
    for method, properties in (
        ("similar", SCHEMAS["SimilarRequest"]["properties"]),
        (
            "similar_image",
            DOCUMENT["paths"]["/v1/similar/image"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"][
                "properties"
            ],
        ),
    ):
        parameters = inspect.signature(getattr(Client("http://service"), method)).parameters
        assert parameters.keys() == properties.keys()
        for name, parameter in parameters.items():
            if parameter.default not in (inspect.Parameter.empty, None, ()):
                assert parameter.default == properties[name]["default"], name


@pytest.mark.parametrize(
    ("read", "schema"),
    [
        (answers.Recommendations, "RecommendationsAnswer"),
        (answers.Similar, "SimilarAnswer"),
        (answers.ScoredItem, "ScoredItemAnswer"),
        (answers.Cause, "CauseAnswer"),
        (answers.EventsTaken, "EventsAnswer"),
        (answers.RejectedEvent, "RejectedEvent"),
        (answers.User, "UserAnswer"),
        (answers.StoredEvent, "StoredEventAnswer"),
        (answers.Forgotten, "ForgottenAnswer"),
        (answers.Item, "ItemAnswer"),
        (answers.Spaces, "SpacesAnswer"),
        (answers.Space, "SpaceAnswer"),
        (answers.Releases, "ReleasesAnswer"),
        (answers.Release, "ReleaseAnswer"),
        (answers.ActiveRelease, "ActiveReleaseAnswer"),
        (answers.Job, "JobAnswer"),
        (answers.JobProgress, "ProgressAnswer"),
        (answers.Jobs, "JobsAnswer"),
    ],
)
def test_everything_that_is_answered_is_read(read: type, schema: str) -> None:
    assert {field.name for field in dataclasses.fields(read)} - {"asked"} == SCHEMAS[schema]["properties"].keys()


def test_a_client_needs_none_of_the_service() -> None:
    import subprocess
    import sys

    code = "import sys, recsvc.client; print([m for m in ('faiss', 'numpy', 'fastapi', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert Retries().count <= 5
