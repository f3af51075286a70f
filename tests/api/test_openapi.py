"""The OpenAPI document is part of the interface: it changes on purpose only, and its examples work."""

import json
import os
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

UPLOAD = "/v1/similar/image"
SNAPSHOT = Path(__file__).with_name("openapi.json")
OPEN = ("/livez", "/readyz")
EVENT = {"event_id": "openapi", "user_id": "user 42", "item_id": "1193"}
OPERATIONS = {
    ("post", "/v1/recommendations"): "recommend",
    ("post", "/v1/recommendations:batch"): "recommend_batch",
    ("post", "/v1/similar"): "find_similar",
    ("post", "/v1/similar/image"): "find_similar_to_picture",
    ("post", "/v1/events"): "record_events",
    ("get", "/v1/users/{user_id}"): "get_user",
    ("delete", "/v1/users/{user_id}"): "forget_user",
    ("get", "/v1/items/{item_id}"): "get_item",
    ("post", "/v1/items:state"): "set_item_states",
    ("get", "/v1/spaces"): "list_spaces",
    ("get", "/v1/releases"): "list_releases",
    ("post", "/v1/releases/{release_id}:activate"): "activate_release",
    ("post", "/v1/releases:rollback"): "roll_back_release",
    ("post", "/v1/releases:split"): "split_releases",
    ("post", "/v1/jobs"): "submit_job",
    ("get", "/v1/jobs"): "list_jobs",
    ("get", "/v1/jobs/{job_id}"): "get_job",
    ("post", "/v1/jobs/{job_id}:cancel"): "cancel_job",
    ("post", "/v1/jobs/{job_id}:retry"): "retry_job",
    ("get", "/livez"): "get_liveness",
    ("get", "/readyz"): "get_readiness",
    ("get", "/metrics"): "get_metrics",
}


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict:
    return client.get("/openapi.json").json()


def operations(document: dict):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_the_document_is_the_committed_one(document: dict) -> None:
    """After a change on purpose: run once with RECSVC_WRITE_OPENAPI=1, and look at the difference."""
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    if os.environ.get("RECSVC_WRITE_OPENAPI"):
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text()


def test_operation_ids_are_stable(document: dict) -> None:
    found = {(method, path): operation["operationId"] for method, path, operation in operations(document)}
    assert found == OPERATIONS


def test_every_route_documents_its_problems_as_they_are_sent(document: dict) -> None:
    assert "HTTPValidationError" not in json.dumps(document)
    for method, path, operation in operations(document):
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert "500" in errors, path
        if path.startswith("/v1/") and path != "/v1/releases":
            assert "503" in errors
        if method == "post":
            assert {"400", "413", "415", "422"} <= errors.keys()
        assert ("security" in operation) == ({"401", "403", "429"} <= errors.keys()) == (path not in OPEN)
        for answer in errors.values():
            assert answer["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }


def test_every_request_example_is_answered(client: httpx.Client, document: dict) -> None:
    asked = 0
    for method, path, operation in operations(document):
        if path.startswith(("/v1/releases", "/v1/jobs/")):
            continue  # its examples name releases and jobs that are not there
        if path != UPLOAD and "requestBody" in operation:
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            for example in document["components"]["schemas"][reference.rpartition("/")[2]]["examples"]:
                answer = client.request(method, path, json=example)
                assert answer.is_success, (example, answer.text)
                assert answer.json().get("unknown", []) == []
                asked += 1
        for parameter in operation.get("parameters", []):
            for example in parameter.get("examples") or parameter["schema"].get("examples", []):
                url = path.replace(f"{{{parameter['name']}}}", quote(example, safe=""))
                assert client.request(method, url).status_code == 200
                asked += 1
    assert asked >= 19
    client.post("/v1/items:state", json={"states": [{"item_id": "661"}, {"item_id": "1193"}]})  # as others know them


def test_the_form_of_an_upload_is_documented_as_it_is_read(client: httpx.Client, document: dict, tiny) -> None:
    body = document["paths"][UPLOAD]["post"]["requestBody"]
    assert body["required"]
    schema = body["content"]["multipart/form-data"]["schema"]
    assert (schema["required"], schema["additionalProperties"]) == (["image"], False)
    options = ["space", "k", "filter", "exclude", "allow", "diversity", "diversity_space"]
    assert list(schema["properties"]) == ["image", *options]
    values = {"k": schema["properties"]["k"]["maximum"], "space": schema["properties"]["space"]["default"]}
    values |= {"filter": schema["properties"]["filter"]["examples"][0], "diversity": "0.2"}
    assert "$ref" not in json.dumps(schema)
    sent = client.post(UPLOAD, files={"image": ("a.png", tiny.pictures["1193"])}, data={**values, "exclude": ["661"]})
    assert sent.status_code == 200
    assert "408" in document["paths"][UPLOAD]["post"]["responses"]


def test_every_answer_has_an_example_with_the_fields_that_are_sent(client: httpx.Client, document: dict, tiny) -> None:
    questions = {
        "recommend": {"json": {"history": ["1193"]}},
        "find_similar": {"json": {"id": "1193"}},
        "find_similar_to_picture": {"files": {"image": ("a.png", tiny.pictures["1193"])}},
        "recommend_batch": {"json": {"requests": [{"history": ["1193"]}]}},
        "record_events": {"json": {"events": [EVENT | {"time": "2999-01-01T00:00:00Z"}]}},
        "set_item_states": {"json": {"states": [{"item_id": "1193"}]}},
        "submit_job": {"json": {"kind": "rollback"}},
    }
    for method, path, operation in operations(document):
        answers = operation["responses"]
        content = answers.get("200", answers.get("202"))["content"].get("application/json")
        if content is None or (method == "post" and path.startswith(("/v1/releases", "/v1/jobs/"))):
            continue
        schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        question = questions.get(operation["operationId"], {})
        job = client.post("/v1/jobs", json={"kind": "prune"}).json()["id"]
        url = path.replace("{item_id}", "1193").replace("{user_id}", "user%2042").replace("{job_id}", job)
        client.post("/v1/events", json={"events": [EVENT]})
        sent = client.request(method, url, **question).json()
        (example,) = schema["examples"]
        assert example.keys() <= sent.keys(), path  # FastAPI leaves null out of examples
        assert all(sent[name] is None for name in sent.keys() - example.keys()), path
        for key, value in example.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                assert value[0].keys() <= sent[key][0].keys()
