from api.metrics import Metrics


def test_the_series_of_a_release_end_one_swap_after_it() -> None:
    metrics = Metrics()
    before = None
    for release in ("r1", "r2", "r3"):
        metrics.swap(release, before)
        metrics.request("/v1/spaces", 200, release, 0.01)
        before = release
    text = metrics.render().decode()
    assert 'recsvc_release_info{release="r3"} 1.0' in text
    assert 'recsvc_release_info{release="r2"}' not in text
    for release, is_there in (("r1", False), ("r2", True), ("r3", True)):
        assert (f'recsvc_request_seconds_count{{release="{release}"' in text) is is_there


def test_two_applications_share_no_metrics() -> None:
    first, second = Metrics(), Metrics()
    first.swap("r1", None)
    assert "r1" not in second.render().decode()
