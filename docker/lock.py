#!/usr/bin/env python3
"""Writes the requirement files of the images, packages with versions and hashes; ``--check`` says which are stale.

A file begins with a sum of all that it was made from (dependencies and extras in pyproject.toml, the day up to which
packages count, the options below): the check needs neither network nor uv. Files name no index: packages come from
wherever the user's own installer gets them.

PyTorch's wheels for CPUs stand in an index of PyTorch's own, while those of the common index bring CUDA. So the CPU
file goes without them: ``torch-cpu.txt`` pins them, by hand, and ``torch-cpu.toml`` says what they need.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

DOCKER = Path(__file__).resolve().parent
ROOT = DOCKER.parent
_SUM = "# made from: sha256 "
_PYTHON = "3.11"
_SERVICE = ("postgres", "redis", "worker", "otel")
_TRAIN = ("postgres", "redis", "worker", "train")


@dataclass(frozen=True)
class Variant:
    """One requirement file.

    Attributes:
        extras: which extras of the project it has.
        extra_inputs: files in this folder that it is made from as well.
        options: what uv is told besides.
    """

    extras: tuple[str, ...]
    extra_inputs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


VARIANTS = {
    "requirements-build.txt": Variant((), ("requirements-build.in",)),
    "requirements-service.txt": Variant(_SERVICE),
    "requirements-train-cuda.txt": Variant(_TRAIN),
    "requirements-train-cpu.txt": Variant(
        _TRAIN,
        ("torch-cpu.toml",),
        ("--no-emit-package", "torch", "--no-emit-package", "torchvision"),
    ),
}


def inputs_sum(variant: Variant) -> str:
    """SHA-256 of everything that a file is made from."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    made_from = {
        "dependencies": project["project"]["dependencies"],
        "extras": {name: extras[name] for name in variant.extras},
        "until": project["tool"]["uv"]["exclude-newer"],
        "python": _PYTHON,
        "options": variant.options,
        "files": {name: (DOCKER / name).read_text("utf-8") for name in variant.extra_inputs},
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def stale() -> list[str]:
    """The files that are missing, or were made from something else."""
    return [name for name, variant in VARIANTS.items() if _first_line(name) != _SUM + inputs_sum(variant)]


def write(name: str) -> None:
    """Make one file anew; it appears whole or not at all."""
    variant = VARIANTS[name]
    source = "requirements-build.in" if "requirements-build.in" in variant.extra_inputs else None
    command = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"]
    command += [
        "--no-emit-index-url",
        "--no-emit-find-links",
        "--python-version",
        _PYTHON,
        "--python-platform",
        "linux",
    ]
    command += [
        "--exclude-newer",
        tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]["exclude-newer"],
    ]
    command += variant.options
    command += [str(DOCKER / source)] if source else [str(ROOT / "pyproject.toml")]
    for extra in variant.extras:
        command += ["--extra", extra]
    environment = dict(os.environ)
    for other in variant.extra_inputs:
        if other.endswith(".toml"):
            environment["UV_CONFIG_FILE"] = str(DOCKER / other)
    compiled = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT).stdout
    staging = DOCKER / f".{name}.writing"
    staging.write_text(f"{_SUM}{inputs_sum(variant)}\n# by docker/lock.py\n{compiled}", "utf-8")
    staging.replace(DOCKER / name)


def _first_line(name: str) -> str | None:
    path = DOCKER / name
    return path.read_text("utf-8").split("\n", 1)[0] if path.is_file() else None


def main() -> int:
    """Write or check, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 2 where a file is stale")
    arguments = parser.parse_args()
    if arguments.check:
        for name in (found := stale()):
            print(f"docker/{name} is stale: run docker/lock.py", file=sys.stderr)
        return 2 if found else 0
    for name in VARIANTS:
        write(name)
        print(f"docker/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
