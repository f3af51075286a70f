"""What Prometheus reads, in a registry of its own for every application. No item or user ids in any label."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from recsvc.answers import Stage

_REQUEST_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STAGE_BUCKETS: Final = (0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 2.0)


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "recsvc_request_seconds",
            "Seconds from the first byte of a request to the last of its answer; its count is the requests.",
            ["route", "status", "release"],
            buckets=_REQUEST_BUCKETS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "recsvc_stage_seconds",
            "Seconds of one stage of an answer.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=self._registry,
        )
        self._uploads = Gauge("recsvc_uploads_held", "Uploads that are being answered.", registry=self._registry)
        self._release = Gauge(
            "recsvc_release_info", "1 for the release that is served.", ["release"], registry=self._registry
        )
        self._swaps = self._counter("recsvc_release_swaps", "Releases taken up, the first included.")
        self._refusals = self._counter("recsvc_release_refusals", "Times that a release was refused.")
        self._fallbacks = self._counter("recsvc_fallbacks", "Next-item answers that came from popularity.")
        self._unknown_ids = self._counter("recsvc_unknown_ids", "Ids asked about that the release did not know.")
        self._ended: list[str] = []  # releases whose series are still there
        ProcessCollector(registry=self._registry)

    def request(self, route: str, status: int, release: str | None, seconds: float) -> None:
        """Count a request that has been answered."""
        self._requests.labels(route, str(status), release or "").observe(seconds)

    def stage(self, stage: Stage, seconds: float) -> None:
        """Record how long one stage of an answer took."""
        self._stages.labels(stage).observe(seconds)

    def uploads(self, held: int) -> None:
        """Record how many uploads are being answered."""
        self._uploads.set(held)

    def answer(self, *, unknown: int, fallback: bool) -> None:
        """Count what was unknown in a question, and whether popularity answered it."""
        if unknown:
            self._unknown_ids.inc(unknown)
        if fallback:
            self._fallbacks.inc()

    def swap(self, release: str, before: str | None) -> None:
        """A release has been taken up in place of another."""
        if before is not None:
            self._release.remove(before)
            # Kept until the next swap, so that what it answered last is still read.
            self._ended.append(before)
            while len(self._ended) > 1:
                self._requests.remove_by_labels({"release": self._ended.pop(0)})
        self._release.labels(release).set(1)
        self._swaps.inc()

    def refusal(self) -> None:
        """A release has been refused."""
        self._refusals.inc()

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self._registry)
