"""Builds the images by buildah in a chroot, on a base that stands in for the one of the registry."""

import os
import subprocess
from pathlib import Path

from verify_tools import debootstrap

ROOT = Path(__file__).resolve().parent.parent
_SUITE = "bookworm"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a small image of Python has; perl would come with a package that merges folders, which a new system needs not.
_BASE = ("ca-certificates", "python3", "python3-venv")
_WITHOUT = ("usrmerge", "perl", "libperl5.36", "perl-modules-5.36", "libfile-find-rule-perl")
_WITHOUT_TOO = ("libnumber-compare-perl", "libtext-glob-perl")


class Builder:
    """Images in one work folder.

    Attributes:
        base: the name of the base image.
    """

    base = "base"

    def __init__(self, work: Path) -> None:
        self._work = work
        self._policy = work / "policy.json"
        self._containers: dict[str, str] = {}
        self._environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(work / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(work / "registries.conf"),
            "BUILDAH_ISOLATION": "chroot",
        }
        self._policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        (work / "registries.conf").write_text("unqualified-search-registries=[]\n")
        storage = f'[storage]\ndriver="overlay"\ngraphroot="{work}/images"\nrunroot="{work}/running"\n'
        (work / "storage.conf").write_text(storage)

    def make_base(self) -> None:
        """Make the base: Debian with Python, about as large as the slim image of the registry."""
        archive = self._work / "base.tar"
        if not archive.is_file():
            leave = " ".join(f"{name}-" for name in (*_WITHOUT, *_WITHOUT_TOO))
            tidy = f'DEBIAN_FRONTEND=noninteractive chroot "$1" apt-get install -qq -y usr-is-merged {leave} >/dev/null'
            debootstrap(_SUITE, archive, _BASE, f"--customize-hook={tidy}")
        container = self._buildah("from", "--signature-policy", self._policy, "scratch")
        self._buildah("add", "--quiet", container, archive, "/")
        self._buildah("config", "--env", f"PATH={_PATH}", container)
        self._buildah("commit", "--quiet", "--signature-policy", self._policy, container, f"localhost/{self.base}:1")
        self._buildah("rm", container)

    def build(self, target: str, variant: str | None = None, torch_index: str | None = None) -> str:
        """Build one target of the Dockerfile; returns the name of the image."""
        arguments = {"PYTHON_IMAGE": f"localhost/{self.base}:1", "UV_SYSTEM_CERTS": "true"}
        # The certificates are for networks with their own.
        volumes = ["/etc/ssl/certs:/etc/ssl/certs:ro"]
        if variant is not None:
            arguments["VARIANT"] = variant
        if torch_index is not None:
            arguments["TORCH_INDEX"] = torch_index
            if torch_index.startswith("/"):
                volumes.append(f"{torch_index}:{torch_index}:ro")
        options = [f"--volume={volume}" for volume in volumes]
        options += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        log = self._work / f"build-{target}.log"
        with log.open("w") as file:
            command: list[str | Path] = [
                "buildah",
                "bud",
                "--signature-policy",
                self._policy,
                "--format=docker",
                "--network=host",
                *options,
            ]
            command += [
                f"--target={target}",
                "--file",
                ROOT / "docker/Dockerfile",
                "--tag",
                f"localhost/{target}:1",
                ROOT,
            ]
            ended = subprocess.run(command, check=False, env=self._environment, stdout=file, stderr=subprocess.STDOUT)
        if ended.returncode:
            print("\n".join(log.read_text("utf-8", "replace").splitlines()[-20:]))
            ended.check_returncode()
        return target

    def mount(self, image: str) -> Path:
        """Where the file system of an image stands, in a layer of its own that may be written."""
        if image not in self._containers:
            source = f"localhost/{image}:1"
            self._containers[image] = self._buildah("from", "--signature-policy", self._policy, source)
        return Path(self._buildah("mount", self._containers[image]))

    def size(self, image: str) -> int:
        """Bytes of all files of an image."""
        ended = subprocess.run(["du", "-sxb", self.mount(image)], check=True, capture_output=True, text=True)
        return int(ended.stdout.split()[0])

    def let_go(self) -> None:
        """Unmount everything, so that the work folder can be deleted."""
        for container in self._containers.values():
            self._buildah("umount", container)
            self._buildah("rm", container)
        self._containers.clear()

    def _buildah(self, *words: str | Path) -> str:
        command = ["buildah", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=self._environment).stdout.strip()
