"""What a server's Prometheus text says about the stages of its answers between two moments."""

import re
from dataclasses import dataclass

_SAMPLE = re.compile(r"^recsvc_(request|stage)_seconds_(sum|count)\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Scrape:
    """Seconds and counts so far, by what took them: a stage, or ``request`` for the whole."""

    sums: dict[str, float]
    counts: dict[str, float]

    @classmethod
    def parse(cls, text: str) -> "Scrape":
        """Read a /metrics page; of the requests, those for recommendations."""
        found: dict[str, dict[str, float]] = {"sum": {}, "count": {}}
        for line in text.splitlines():
            sample = _SAMPLE.match(line)
            if sample is None:
                continue
            labels = dict(_LABEL.findall(sample[3]))
            if sample[1] == "request" and labels.get("route") != "/v1/recommendations":
                continue
            name = labels.get("stage", "request")
            found[sample[2]][name] = found[sample[2]].get(name, 0.0) + float(sample[4])
        return cls(found["sum"], found["count"])

    def since(self, before: "Scrape") -> dict[str, float]:
        """Mean microseconds a request of each stage since an earlier scrape, in the order of the page."""
        requests = self.counts.get("request", 0.0) - before.counts.get("request", 0.0)
        if requests <= 0:
            return {}
        spent = {name: total - before.sums.get(name, 0.0) for name, total in self.sums.items()}
        return {name: 1e6 * seconds / requests for name, seconds in spent.items() if seconds > 0}
