"""What Prometheus reads, in a registry of its own for every application. No item or user ids in any label.

Several workers share a folder (``api.workers``): every worker then answers with the sums over all of them.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from recsvc.jobs import KINDS, STATES, Figures
from recsvc.releases import created_of

SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder of workers' metrics; prometheus_client's own."""

_REQUEST_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STAGE_BUCKETS: Final = (0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 2.0)
_MAX_CHILDREN: Final = 4096  # series looked up without a search; more than routes x statuses x releases


class Metrics:
    """The metrics of one application.

    Attributes:
        on_stage: Also told of every stage; traces are.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._is_shared = SHARED_FOLDER in os.environ
        self._requests = Histogram(
            "recsvc_request_seconds",
            "Seconds from the first byte of a request to the last of its answer; its count is the requests.",
            ["route", "status", "release"],
            buckets=_REQUEST_BUCKETS,
            registry=self._registry,
        )
        self._stages = self._short("recsvc_stage_seconds", "Seconds of one stage of an answer.", "stage")
        self._database = self._short("recsvc_database_seconds", "Seconds of one use of the database.")
        self._uploads = self._gauge("recsvc_uploads_held", "Uploads that are being answered.", "livesum")
        self._waiting = self._gauge("recsvc_waiting_requests", "Requests that wait for their turn.", "livesum")
        self._fraction = self._gauge(
            "recsvc_queue_fraction", "Predicted wait of the next request, as a share of the longest allowed.", "livemax"
        )
        self._rejects = self._counter("recsvc_rejects", "Requests and connections turned away.", "cause")
        self._release = self._gauge("recsvc_release_info", "1 for a release that is served.", "livemax", "release")
        self._share = self._gauge(
            "recsvc_release_share", "Share of the traffic that a release answers.", "livemax", "release"
        )
        self._created = self._gauge(
            "recsvc_release_created_seconds", "When a served release was made, in Unix time.", "livemax", "release"
        )
        self._swaps = self._counter("recsvc_release_swaps", "Changes of what is served, the first included.")
        self._refusals = self._counter("recsvc_release_refusals", "Times that a release was refused.")
        self._answers = self._counter(
            "recsvc_answers", "Answers, by release and by what they came from.", "release", "source"
        )
        self._fallbacks = self._counter("recsvc_fallbacks", "Answers that the model did not give, by source.", "source")
        self._unknown_ids = self._counter("recsvc_unknown_ids", "Ids asked about that the release did not know.")
        self._events = self._counter("recsvc_events", "Events received, by outcome.", "outcome")
        self._attributed = self._counter(
            "recsvc_attributed_events",
            "Events that name an answer and an item of it, by the release that gave it and their kind.",
            *("release", "kind"),
        )
        self._dropped = self._counter("recsvc_records_dropped", "Records of answers that could not be kept.")
        self._jobs = self._gauge("recsvc_jobs", "Jobs in the table.", "livemostrecent", "kind", "state")
        self._job_success = self._gauge(
            "recsvc_job_success_seconds",
            "When a job of the kind last succeeded, in Unix time.",
            "livemostrecent",
            "kind",
        )
        self._job_duration = self._gauge(
            "recsvc_job_duration_seconds", "How long the last job took that succeeded.", "livemostrecent", "kind"
        )
        self._newest_event = self._gauge(
            "recsvc_newest_event_seconds", "Time of the event that came last, in Unix time.", "livemostrecent"
        )
        self._children: dict[tuple[str, int, str | None], Histogram] = {}
        self._stage_children: dict[str, Histogram] = {}
        self._served: set[str] = set()
        self.on_stage: Callable[[str, float], None] | None = None
        self._ended: set[str] = set()  # by the last swap: kept until the next, so that their last answers are read
        if self._is_shared:
            self._resident = self._gauge(
                "recsvc_worker_resident_bytes", "Resident memory of a worker, shared pages included.", "liveall"
            )
        else:
            ProcessCollector(registry=self._registry)

    def request(self, route: str, status: int, release: str | None, seconds: float) -> None:
        """Count a request that has been answered."""
        key = (route, status, release)
        child = self._children.get(key)
        if child is None:
            child = self._requests.labels(route, str(status), release or "")
            if len(self._children) < _MAX_CHILDREN:
                self._children[key] = child
        child.observe(seconds)

    def stage(self, stage: str, seconds: float) -> None:
        """Record how long one stage of an answer took."""
        child = self._stage_children.get(stage)
        if child is None:
            child = self._stage_children[stage] = self._stages.labels(stage)
        child.observe(seconds)
        if self.on_stage is not None:
            self.on_stage(stage, seconds)

    def database(self, seconds: float) -> None:
        """Record how long one use of the database took."""
        self._database.observe(seconds)

    def uploads(self, held: int) -> None:
        """Record how many uploads are being answered."""
        self._uploads.set(held)

    def queue(self, waiting: int, fraction: float) -> None:
        """Record how many requests wait, and how long a further one would, as a share of the longest allowed."""
        self._waiting.set(waiting)
        self._fraction.set(fraction)

    def reject(self, cause: str, count: int = 1) -> None:
        """Requests or connections have been turned away."""
        self._rejects.labels(cause).inc(count)

    def answer(self, *, release: str, source: str, unknown: int) -> None:
        """Count an answer by its release and source (``model``, ``content``, ``popular`` or ``none``), and how many
        ids of the question were unknown."""
        self._answers.labels(release, source).inc()
        if unknown:
            self._unknown_ids.inc(unknown)
        if source != "model":
            self._fallbacks.labels(source).inc()

    def events(self, *, accepted: int, duplicate: int, rejected: int) -> None:
        """Count events that have been received."""
        for outcome, count in (("accepted", accepted), ("duplicate", duplicate), ("rejected", rejected)):
            if count:
                self._events.labels(outcome).inc(count)

    def attributed(self, release: str, kind: str) -> None:
        """Count an event on an item of an answer that a release gave; ``kind`` is one of a configured few."""
        self._attributed.labels(release, kind).inc()

    def answers_dropped(self, count: int) -> None:
        """Count records of answers that could not be kept."""
        self._dropped.inc(count)

    def swap(self, shares: Mapping[str, float]) -> None:
        """These releases are served from now on, with these shares of the traffic."""
        for release in self._served - shares.keys():
            self._end(release)
        if not self._is_shared:
            for release in self._ended - shares.keys():
                self._forget(release)
        for release, share in shares.items():
            self._release.labels(release).set(1)
            self._share.labels(release).set(share)
            self._created.labels(release).set(created_of(release).timestamp())
        self._ended = self._served - shares.keys()
        self._served = set(shares)
        self._swaps.inc()

    def refusal(self) -> None:
        """A release has been refused."""
        self._refusals.inc()

    def jobs(self, figures: Figures) -> None:
        """What the table of jobs says; also how fresh the data are."""
        for kind in KINDS:
            for state in STATES:
                self._jobs.labels(kind, state).set(figures.counts.get((kind, state), 0))
        for kind, success in figures.successes.items():
            self._job_success.labels(kind).set(success.finished.timestamp())
            self._job_duration.labels(kind).set(success.seconds)
        if figures.newest_event is not None:
            self._newest_event.set(figures.newest_event.timestamp())

    def measure_memory(self) -> None:
        """Record this worker's memory, where several share their metrics; where not, that is asked when it is read."""
        if self._is_shared:
            pages = int(Path("/proc/self/statm").read_bytes().split()[1])
            self._resident.set(pages * os.sysconf("SC_PAGE_SIZE"))

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        if not self._is_shared:
            return generate_latest(self._registry)
        merged = CollectorRegistry()
        MultiProcessCollector(merged)  # type: ignore[no-untyped-call]
        return generate_latest(merged)

    def _end(self, release: str) -> None:
        for gauge in (self._release, self._share):
            if self._is_shared:  # series cannot be removed from the folder
                gauge.labels(release).set(0)
            else:
                gauge.remove(release)

    def _forget(self, release: str) -> None:
        self._created.remove(release)
        for metric in (self._requests, self._answers, self._attributed):
            metric.remove_by_labels({"release": release})
        for key in [key for key in list(self._children) if key[2] == release]:  # copied: requests add to it
            del self._children[key]

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, mode: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]

    def _short(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=_STAGE_BUCKETS, registry=self._registry)
