import os
import subprocess
import sys
from pathlib import Path

from api.metrics import Metrics

R1, R2, R3 = (f"2026010{day}T000000-{'0' * 12}" for day in (1, 2, 3))


def lines(metrics: Metrics, *words: str) -> list[str]:
    return [line for line in metrics.render().decode().splitlines() if all(word in line for word in words)]


def test_the_series_of_a_release_end_one_swap_after_it() -> None:
    metrics = Metrics()
    for release in (R1, R2, R3):
        metrics.swap({release: 1.0})
        metrics.request("/v1/spaces", 200, release, 0.01)
        metrics.answer(release=release, source="model", unknown=0)
    assert lines(metrics, "recsvc_release_info{") == [f'recsvc_release_info{{release="{R3}"}} 1.0']
    assert len(lines(metrics, "recsvc_release_created_seconds{")) == 2
    for release, is_there in ((R1, False), (R2, True), (R3, True)):
        assert bool(lines(metrics, "recsvc_request_seconds_count", release)) is is_there
        assert bool(lines(metrics, "recsvc_answers_total", release)) is is_there
    metrics.swap({R2: 1.0})  # back again: its series go on
    metrics.request("/v1/spaces", 200, R2, 0.01)
    metrics.swap({R2: 0.5, R1: 0.5})
    assert lines(metrics, "recsvc_request_seconds_count", R2)[0].endswith(" 2.0")
    assert [line.split()[-1] for line in lines(metrics, "recsvc_release_share{")] == ["0.5", "0.5"]


def test_what_is_counted_of_answers_and_events() -> None:
    metrics = Metrics()
    metrics.answer(release=R1, source="model", unknown=2)
    metrics.answer(release=R1, source="popular", unknown=0)
    metrics.events(accepted=3, duplicate=1, rejected=0)
    metrics.attributed(R1, "purchase")
    metrics.reject("queue", 7)
    metrics.answers_dropped(4)
    text = metrics.render().decode()
    for line in (
        'recsvc_fallbacks_total{source="popular"} 1.0',
        "recsvc_unknown_ids_total 2.0",
        f'recsvc_answers_total{{release="{R1}",source="model"}} 1.0',
        'recsvc_events_total{outcome="accepted"} 3.0',
        f'recsvc_attributed_events_total{{kind="purchase",release="{R1}"}} 1.0',
        'recsvc_rejects_total{cause="queue"} 7.0',
        "recsvc_records_dropped_total 4.0",
    ):
        assert line in text.splitlines()
    assert 'fallbacks_total{source="model"}' not in text
    assert 'outcome="rejected"' not in text


def test_two_applications_share_no_metrics() -> None:
    first, second = Metrics(), Metrics()
    first.swap({R1: 1.0})
    assert R1 not in second.render().decode()


def test_a_worker_goes_on_with_the_counters_of_the_one_before_it_and_shows_the_sums(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from api.workers import share_metrics
share_metrics(Path(sys.argv[1]), int(sys.argv[2]))
from api.metrics import Metrics
metrics = Metrics()
metrics.request("/v1/spaces", 200, None, 0.01)
metrics.swap({sys.argv[3]: 1.0})
metrics.queue(3, 0.5)
metrics.measure_memory()
print(metrics.render().decode())
"""
    env = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}

    def run(number: int, release: str) -> list[str]:
        command = [sys.executable, "-c", code, str(tmp_path), str(number), release]
        root = Path(__file__).parents[2]
        return subprocess.run(
            command, env=env, cwd=root, capture_output=True, text=True, check=True, timeout=60
        ).stdout.splitlines()

    run(0, R1)
    run(1, R1)
    text = run(1, R2)  # worker 1 again, after its end
    assert 'recsvc_request_seconds_count{release="",route="/v1/spaces",status="200"} 3.0' in text
    assert "recsvc_release_swaps_total 3.0" in text
    assert "recsvc_waiting_requests 6.0" in text  # of the two that live, not of the one that is gone
    assert "recsvc_queue_fraction 0.5" in text
    assert [line.split("}")[0] for line in text if line.startswith("recsvc_worker_resident_bytes{")] == [
        'recsvc_worker_resident_bytes{pid="0"',
        'recsvc_worker_resident_bytes{pid="1"',
    ]
