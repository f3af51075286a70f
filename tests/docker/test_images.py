"""Requirement files that are made from what pyproject.toml says now, and a Dockerfile that takes nothing else."""

import fnmatch
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
REQUIREMENTS = sorted(DOCKER.glob("requirements-*.txt"))


def test_requirement_files_are_not_stale():
    checked = subprocess.run(
        [sys.executable, DOCKER / "lock.py", "--check"], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


def test_a_change_of_what_is_needed_makes_files_stale(tmp_path):
    (tmp_path / "docker").mkdir()
    for path in (*REQUIREMENTS, *DOCKER.glob("requirements-*.in"), *DOCKER.glob("torch-cpu.*"), DOCKER / "lock.py"):
        (tmp_path / "docker" / path.name).write_bytes(path.read_bytes())
    project = (ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(project.replace('    "torch>=', '    "one-more>=1",\n    "torch>='))
    stale = runpy.run_path(str(tmp_path / "docker/lock.py"))["stale"]()
    assert stale == ["requirements-train-cuda.txt", "requirements-train-cpu.txt"]


@pytest.mark.parametrize("path", [*REQUIREMENTS, DOCKER / "torch-cpu.txt"], ids=lambda path: path.name)
def test_every_package_has_a_version_and_hashes_and_no_file_names_an_index(path):
    text = path.read_text()
    assert "://" not in text and "--index" not in text
    entries = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    assert entries
    for entry in entries:
        assert re.fullmatch(r"[\w.-]+==\S+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+", entry.strip()), entry[:100]


def test_the_service_has_no_torch_and_one_variant_has_no_cuda():
    def names(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+)==", (DOCKER / name).read_text(), re.MULTILINE))

    assert not names("requirements-service.txt") & {"torch", "polars", "pyarrow", "numba", "scipy", "onnx"}
    assert {"psycopg-binary", "redis", "huey"} <= names("requirements-service.txt")
    cpu, cuda = names("requirements-train-cpu.txt"), names("requirements-train-cuda.txt")
    assert not [name for name in cpu if name.startswith("nvidia") or name in ("triton", "torch", "torchvision")]
    assert {"torch", "torchvision", "nvidia-cudnn-cu13"} <= cuda
    assert names("torch-cpu.txt") == {"torch", "torchvision"}
    assert cpu - names("requirements-service.txt") > {"polars", "numba", "onnx"}


def test_images_run_as_nobody_and_end_on_a_signal():
    assert re.search(r"^USER 999:999$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", DOCKERFILE, re.MULTILINE)
    for line in re.findall(r"^(?:CMD|ENTRYPOINT) .*$", DOCKERFILE, re.MULTILINE):
        assert re.search(r' \["[^\]]+"\]$', line), line
    for line in re.findall(r"^.*uv pip install.*$", DOCKERFILE, re.MULTILINE):
        assert "--require-hashes" in line or "--no-deps --no-index" in line, line


def test_everything_that_a_build_takes_is_on_the_allow_list():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    allowed = [line[1:] for line in lines if line.startswith("!")]
    taken = [
        source for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for source in line.split()
    ]
    taken += [f"docker/{name}" for name in re.findall(r"/docker/([\w.-]+\.(?:txt|py))", DOCKERFILE)]
    taken += [f"docker/{path.name}" for path in REQUIREMENTS]
    assert len(taken) > 10
    for source in taken:
        assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source
