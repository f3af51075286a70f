"""What dashboard and alerts ask for is what the service exports, and nothing else."""

import json
import re
from pathlib import Path

import pytest
import yaml

from api.metrics import Metrics

DOCKER = Path(__file__).parents[2] / "docker"
DASHBOARD = DOCKER / "grafana/dashboards/recsvc.json"
ALERTS = DOCKER / "prometheus/alerts.yml"
# Those of prometheus_client itself (and of Prometheus), and the one that several workers of a process have.
FOREIGN = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total", "recsvc_worker_resident_bytes"}


def exported() -> dict[str, set[str]]:
    """Series that a service can have, each with its labels."""
    series: dict[str, set[str]] = {}
    for metric in Metrics()._registry._names_to_collectors.values():  # also those that have no sample yet
        names = getattr(metric, "_labelnames", None)
        if names is None:
            continue
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(metric._type, [""])
        for suffix in suffixes:
            series[metric._name + suffix] = {*names, *({"le"} if suffix == "_bucket" else ())}
    return series


def dashboard_expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def alert_expressions() -> list[str]:
    return [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def metrics_of(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:recsvc|process|python)_\w+", expression))


@pytest.mark.parametrize("expression", [*dashboard_expressions(), *alert_expressions()])
def test_every_expression_is_of_metrics_that_are_exported(expression):
    series = exported()
    named = metrics_of(expression)
    assert named or "up" in expression, expression
    assert named <= series.keys() | FOREIGN, named - series.keys() - FOREIGN
    labels = {label.strip() for each in re.findall(r"by \(([^)]*)\)", expression) for label in each.split(",")}
    known = set().union(*(series.get(name, set()) for name in named), {"instance", "job", "release"})
    assert labels <= known, labels - known


def test_nothing_that_is_exported_is_forgotten():
    shown = set().union(*(metrics_of(expression) for expression in dashboard_expressions()))
    families = {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in shown}
    of_ours = {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in exported() if name.startswith("recsvc_")}
    # Whether a release is served is what its share says too.
    assert of_ours - families <= {"recsvc_release_info"}


def test_panels_do_not_lie_on_each_other():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places)) and max(x for x, _ in places) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)
