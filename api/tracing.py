"""Traces by OpenTelemetry, extra ``otel``: one span a request, one a stage of its answer; imported if asked for.

It is asked for by the standard variable ``OTEL_EXPORTER_OTLP_ENDPOINT``; the other standard variables hold too. A span
holds the route, never the path, and no ids but that of the request.
"""

import os
from contextlib import suppress
from time import time_ns
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.request_info import SCOPE_KEY, RequestInfo

_UNTRACED: Final = frozenset({"/livez", "/readyz", "/metrics"})


class Tracing:
    """Spans of one application."""

    def __init__(self, provider: TracerProvider) -> None:
        """Trace through a provider, which says where spans go."""
        self._provider = provider
        self._tracer = provider.get_tracer("recsvc")

    @classmethod
    def from_environment(cls) -> "Tracing":
        """Traces that go to the endpoint which the environment names."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        os.environ.setdefault("OTEL_SERVICE_NAME", "recsvc")
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def stage(self, stage: str, seconds: float) -> None:
        """A stage of the answer that is being made has just ended."""
        if trace.get_current_span().is_recording():
            end = time_ns()
            span = self._tracer.start_span(stage, start_time=end - round(seconds * 1e9))
            span.end(end)

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()

    def layer(self, app: ASGIApp) -> ASGIApp:
        """An application around another, to be used inside of ``RequestLayer``."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] in _UNTRACED:
                await app(scope, receive, send)
                return
            headers = {}
            for name, value in scope["headers"]:
                with suppress(UnicodeDecodeError):
                    headers[name.decode("ascii")] = value.decode("ascii")
            method = scope["method"]
            with self._tracer.start_as_current_span(
                method, context=propagate.extract(headers), kind=trace.SpanKind.SERVER, record_exception=False
            ) as span:

                async def send_noted(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        span.set_attribute("http.response.status_code", message["status"])
                        if message["status"] >= 500:
                            span.set_status(trace.StatusCode.ERROR)
                    await send(message)

                try:
                    await app(scope, receive, send_noted)
                finally:
                    route = getattr(scope.get("route"), "path_format", None)
                    if route is not None:
                        span.update_name(f"{method} {route}")
                        span.set_attribute("http.route", route)
                    info: RequestInfo = scope[SCOPE_KEY]
                    span.set_attribute("http.request.method", method)
                    span.set_attribute("recsvc.request_id", info.id)
                    if info.release is not None:
                        span.set_attribute("recsvc.release", info.release)

        return traced
