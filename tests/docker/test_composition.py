"""What holds of every container of compose.yaml, and that images and composition say the same of ports and folders."""

import re
from pathlib import Path

import pytest
import yaml

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
ONCE = {name for name, service in SERVICES.items() if service["restart"] != "unless-stopped"}
OURS = {name for name, service in SERVICES.items() if "target" in service.get("build", {})}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_little(name):
    service = SERVICES[name]
    assert service["read_only"] and service["init"]
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(mount.startswith("/tmp:") for mount in service["tmpfs"])
    assert not service.get("privileged") and "network_mode" not in service
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "only this machine's own doors are open"
    assert "latest" not in service["image"]


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONCE))
def test_what_goes_on_is_watched_and_bounded(name):
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert limits["cpus"] and limits["memory"]
    # The service's own is in its image.
    assert "healthcheck" in service or (name == "service" and "HEALTHCHECK" in (DOCKER / "Dockerfile").read_text())


def test_ours_wait_for_what_they_need():
    for name in OURS - {"first"}:
        assert SERVICES[name]["depends_on"]["first"] == {"condition": "service_completed_successfully"}, name
    assert SERVICES["first"]["depends_on"]["postgres"] == {"condition": "service_healthy"}


def test_the_service_and_the_schedule_cannot_write_the_store():
    for name in ("service", "scheduler"):
        assert SERVICES[name]["volumes"] == ["store:/store:ro"]
        assert "target: train" not in str(SERVICES[name]["build"]) and SERVICES[name]["build"]["target"] == "service"
    assert "store:/store" in SERVICES["worker"]["volumes"]
    assert SERVICES["service"]["deploy"]["replicas"] == 2 and "ports" not in SERVICES["service"]


def test_secrets_come_by_file_and_are_drawn_by_the_script():
    script = (DOCKER / "make-secrets").read_text()
    drawn = set(re.findall(r"^keep (\w+)", script, re.MULTILINE))
    assert {Path(each["file"]).name for each in COMPOSE["secrets"].values()} == drawn
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|DATABASE|KEY", variable):
                assert variable.endswith("_FILE") and value.startswith("/run/secrets/"), (name, variable)
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_nginx_asks_the_service_at_its_port_and_hides_its_metrics():
    nginx = (DOCKER / "nginx/nginx.conf").read_text()
    image = (DOCKER / "Dockerfile").read_text()
    (port,) = re.findall(r"^EXPOSE (\d+)$", image, re.MULTILINE)
    assert f"server service:{port} resolve" in nginx and f"RECSVC_PORT={port}" in image
    prometheus = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text())
    assert prometheus["scrape_configs"][0]["dns_sd_configs"] == [
        {"names": ["service"], "type": "A", "port": int(port), "refresh_interval": "10s"}
    ]
    assert re.search(r"location = /metrics \{\s*return 404;", nginx)
    (listened,) = re.findall(r"listen (\d+);", nginx)
    assert SERVICES["nginx"]["ports"][0].endswith(f":{listened}")


def test_nginx_lets_through_what_the_service_reads(tmp_path):
    from api import Settings

    settings = Settings(store=tmp_path)
    nginx = (DOCKER / "nginx/nginx.conf").read_text()
    sizes = [int(size) * 2**20 for size in re.findall(r"client_max_body_size (\d+)m;", nginx)]
    assert sizes == [settings.max_body_bytes, settings.max_picture_bytes]
    waits = [int(each) for each in re.findall(r"proxy_read_timeout (\d+)s;", nginx)]
    assert waits[0] > settings.request_seconds and waits[1] > 2 * settings.upload_seconds
    (idle,) = re.findall(r"keepalive_timeout (\d+)s;  # less", nginx)
    assert int(idle) < settings.idle_seconds


def test_nginx_speaks_of_problems_as_the_service_does():
    from api.problems import KINDS

    nginx = (DOCKER / "nginx/nginx.conf").read_text()
    kinds = {(kind.type, kind.status, kind.title) for kind in KINDS}
    found = re.findall(r'return (\d+) \'\{"type":"([^"]+)","title":"([^"]+)","status":(\d+)', nginx)
    assert len(found) == 3
    for status, kind, title, said in found:
        assert status == said and (kind, int(status), title) in kinds
