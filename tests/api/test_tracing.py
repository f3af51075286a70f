"""Traces: one span a request and one a stage, by route, joined to the caller's trace."""

import pytest

from api.app import create_app
from api.server import _tracing
from api.settings import Settings
from api.tracing import Tracing
from recsvc.errors import ConfigError
from recsvc.releases import Store

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_is_a_span_with_its_stages(store: Store, release: str) -> None:
    from fastapi.testclient import TestClient
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = create_app(Settings(store=store.path, poll_seconds=0.02), tracing=Tracing(provider))
    with TestClient(app) as client:
        while client.get("/readyz").status_code != 200:
            pass
        exporter.clear()
        body = {"history": ["1193", "planted-secret"]}
        answer = client.post("/v1/recommendations", json=body, headers={"traceparent": CALLER}).json()
        client.get("/v1/items/planted-secret")
        client.get("/readyz")
        spans = exporter.get_finished_spans()
    asked, missing = (span for span in spans if "http.route" in span.attributes)
    assert asked.name == "POST /v1/recommendations"
    assert dict(asked.attributes) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/v1/recommendations",
        "recsvc.release": release,
        "recsvc.request_id": answer["recommendation_id"],
    }
    assert asked.parent.span_id == 0xB7AD6B7169203331
    stages = [span for span in spans if span.parent and span.parent.span_id == asked.context.span_id]
    assert {"encode", "score", "catalogue"} <= {span.name for span in stages}
    for stage in stages:
        assert asked.start_time <= stage.start_time + 1_000_000
        assert stage.end_time <= asked.end_time
    assert (missing.name, missing.attributes["http.response.status_code"]) == ("GET /v1/items/{item_id}", 404)
    assert "planted" not in "".join(span.to_json() for span in spans)


def test_traces_without_their_extra_are_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert _tracing() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(__import__("sys").modules, "api.tracing", None)
    with pytest.raises(ConfigError, match="recsvc\\[otel\\]"):
        _tracing()
