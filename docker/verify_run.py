"""Starts the composition of processes in the images, on the loopback interface, and asks it through nginx.

A process is held as compose.yaml holds a container: the images' user, no capabilities and no way to get any, a root
file system that is read-only, /tmp in memory, the store read-only for the service, the secret in a file.
"""

import csv
import http.client
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from verify_tools import Tools

_REPLICAS = ("127.0.0.2", "127.0.0.3")
_NAME_SERVER = "127.0.0.11"  # the engine's, in nginx.conf
_DOOR = 8080
_POSTGRES, _REDIS = 15432, 16379
_USERS, _ITEMS, _EVENTS, _DAYS = 300, 60, 9, 40
_TRAINING = ("sequence.loop.epochs=2", "sequence.model.dim=16", "sequence.model.layers=1")
_ENVIRONMENT = {
    "PATH": "/app/.venv/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "RECSVC_DATABASE_FILE": "/run/secrets/database_url",
    "RECSVC_QUEUE": f"redis://127.0.0.1:{_REDIS}/0",
    "RECSVC_STORE": "/store",
    "RECSVC_WORK": "/attempts",
    "RECSVC_ALIVE_FILE": "/tmp/alive",
    "NUMBA_CACHE_DIR": "/attempts/numba",
}


class Image:
    """Starts processes in the file system of an image."""

    def __init__(self, root: Path, shared: Path, *, writes: bool) -> None:
        """Let processes in ``root`` have the folders of ``shared``; ``writes``: the store may be written."""
        self._root = root
        self._log = shared / "processes.log"
        self._mounts = [f"mount --bind {shlex.quote(str(root))} {shlex.quote(str(root))}"]
        folders = {"store": writes, "attempts": True, "secrets": False}
        for name, may_write in folders.items():
            inside = root / ("run/secrets" if name == "secrets" else name)
            inside.mkdir(parents=True, exist_ok=True)
            places = f"{shlex.quote(str(shared / name))} {shlex.quote(str(inside))}"
            self._mounts.append(f"mount --bind {places}")
            if not may_write:
                self._mounts.append(f"mount -o remount,ro,bind {shlex.quote(str(inside))}")
        self._mounts += [
            f"mount -t tmpfs -o mode=1777,size=512m,nosuid,nodev,noexec tmpfs {shlex.quote(str(root / 'tmp'))}",
            f"mount -t proc proc {shlex.quote(str(root / 'proc'))}",
            f"mount --bind /dev {shlex.quote(str(root / 'dev'))}",
            f"mount -o remount,ro,bind {shlex.quote(str(root))}",
        ]

    def command(self, words: list[str], **environment: str) -> list[str]:
        """The whole command line."""
        held = ["/usr/bin/setpriv", "--reuid=999", "--regid=999", "--clear-groups", "--bounding-set=-all"]
        held += ["--inh-caps=-all", "--no-new-privs", "/usr/bin/env", "-i"]
        held += [f"{name}={value}" for name, value in (_ENVIRONMENT | environment).items()]
        inner = shlex.join(["chroot", str(self._root), *held, *words])
        return ["unshare", "--mount", "--propagation=private", "sh", "-ec", "\n".join([*self._mounts, f"exec {inner}"])]

    def run(self, *words: str, check: bool = True) -> int:
        """Run a command to its end."""
        return subprocess.run(self.command(list(words)), check=check).returncode

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command, which goes on; what it says is in the log."""
        with self._log.open("ab") as log:
            return subprocess.Popen(self.command(list(words), **environment), stdout=log, stderr=log)


def run_composition(work: Path, tools: Tools, service_root: Path, train_root: Path) -> None:
    """Start everything, from nothing to an answer, and stop it."""
    shared = work / "shared"
    shutil.rmtree(shared, ignore_errors=True)
    for name in ("store", "attempts", "secrets"):
        (shared / name).mkdir(parents=True)
        os.chown(shared / name, 999, 999)
    key = (tools.root / "docker/secrets/admin_key").read_text("utf-8").strip()
    shutil.copy(tools.root / "docker/secrets/admin_key", shared / "secrets")
    (shared / "secrets/database_url").write_text(f"postgresql+psycopg://postgres@127.0.0.1:{_POSTGRES}/postgres\n")
    write_dataset(shared / "attempts/dataset")
    service, train = Image(service_root, shared, writes=False), Image(train_root, shared, writes=True)
    with database(tools), started(tools.start(["redis-server", "--port", str(_REDIS), "--save", "", "--dir", "/tmp"])):
        check_hold(service)
        service.run("recsvc", "keys", "create", "first", "--scope", "admin", "--key-file", "/run/secrets/admin_key")
        settings = [word for setting in _TRAINING for word in ("--set", setting)]
        train.run("recsvc", "retrain", "/attempts/dataset", "--work", "/attempts/retrain", *settings)
        with replicas(service) as processes, door(tools):
            ask_through_door(key)
            run_job(key, service, train)
            stop_one(key, processes[0])


def check_hold(service: Image) -> None:
    """What a process in the image may not do, it cannot: the checks after this one mean something."""
    look = (
        "import os; assert os.getuid() == os.getgid() == 999, os.getuid()\n"
        "lines = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "assert int(lines['CapBnd'], 16) == int(lines['CapEff'], 16) == 0 and int(lines['NoNewPrivs']) == 1\n"
        "for folder in ('/app', '/store', '/etc', '/run/secrets'):\n"
        "    try: open(folder + '/file', 'w')\n"
        "    except OSError: continue\n"
        "    raise SystemExit(folder + ' can be written')\n"
        "open('/tmp/file', 'w')\n"
        "try: import torch\n"
        "except ImportError: raise SystemExit(0)\n"
        "raise SystemExit('the service has torch')"
    )
    service.run("python", "-c", look)


def ask_through_door(key: str) -> None:
    """A recommendation for who has the key, by both replicas; nothing for who has none, no metrics for anybody."""
    question = {"history": ["item 1", "item 2"], "k": 5}
    status, answer = ask("POST", "/v1/recommendations", question, key)
    assert status == 200 and len(answer["items"]) == 5, (status, answer)
    print(f"   {json.dumps(answer)[:200]}...")
    assert ask("POST", "/v1/recommendations", question)[0] == 401
    assert ask("GET", "/metrics", key=key)[0] == 404
    assert ask("POST", "/v1/events", {"padding": "x" * 2_000_000}, key)[0] == 413
    for _ in range(100):
        assert ask("POST", "/v1/recommendations", question, key)[0] == 200
    counts = [answers(host) for host in _REPLICAS]
    assert all(count >= 20 for count in counts), counts
    print(f"   answers by replica: {counts}")


def run_job(key: str, service: Image, train: Image) -> None:
    """A job that is asked for over HTTP runs in the worker, whose image has torch."""
    with started(train.start("recsvc", "worker", "--schedule", "off", RECSVC_DATASET="/attempts/dataset")):
        status, job = ask("POST", "/v1/jobs", {"kind": "prune", "parameters": {"answers_days": 365}}, key)
        assert status == 202, (status, job)
        wait(lambda: ask("GET", f"/v1/jobs/{job['id']}", key=key)[1]["state"] == "succeeded", "the job to succeed")
    with started(service.start("recsvc", "worker", "--schedule", "only", RECSVC_SCHEDULE="prune=0 3 * * *")) as process:
        time.sleep(5)
        assert process.poll() is None, "the scheduler has ended"
    print("   a job went through the queue to the worker; the scheduler runs")


def stop_one(key: str, process: subprocess.Popen[bytes]) -> None:
    """A replica that is stopped ends well, and nobody notices."""
    process.send_signal(signal.SIGTERM)
    for _ in range(100):
        status, _ = ask("POST", "/v1/recommendations", {"history": ["item 3"], "k": 5}, key)
        assert status == 200, status
        time.sleep(0.05)
    assert process.wait(20) == 0, process.returncode
    print("   one replica was stopped: exit code 0, 100 of 100 questions answered meanwhile and after")


@contextmanager
def replicas(service: Image) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two replicas, ready."""
    options = {"RECSVC_PORT": "8000", "RECSVC_AUTH": "keys", "RECSVC_LOG_REQUESTS": "false"}
    processes = [service.start("recsvc", "serve", RECSVC_HOST=host, **options) for host in _REPLICAS]
    try:
        wait(lambda: all(status_of(host, 8000, "/readyz") == 200 for host in _REPLICAS), "the replicas")
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


@contextmanager
def door(tools: Tools) -> Iterator[None]:
    """Nginx, and a name server that knows the replicas by the service's name."""
    names = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--listen-address={_NAME_SERVER}"]
    names += [
        "--bind-interfaces",
        "--user=root",
        "--pid-file=",
        *(f"--host-record=service,{host}" for host in _REPLICAS),
    ]
    nginx = ["nginx", "-c", "/docker/nginx/nginx.conf", "-g", "daemon off;"]
    with started(tools.start(names)), started(tools.start(nginx)):
        wait(lambda: status_of("127.0.0.1", _DOOR, "/readyz") == 200, "nginx")
        yield


@contextmanager
def database(tools: Tools) -> Iterator[None]:
    """PostgreSQL with an empty cluster of its own."""
    program = next((tools.root / "usr/lib/postgresql").glob("*/bin"))
    inside = f"/{program.relative_to(tools.root)}"
    shutil.rmtree(tools.root / "tmp/cluster", ignore_errors=True)
    user = "postgres:postgres"
    make = [f"{inside}/initdb", "--pgdata=/tmp/cluster", "--auth=trust", "--encoding=UTF8", "--no-sync"]
    subprocess.run(tools.inside(make, user), check=True, stdout=subprocess.DEVNULL)
    start = [f"{inside}/postgres", "-D", "/tmp/cluster", "-p", str(_POSTGRES), "-k", "/tmp", "-c", "fsync=off"]
    with started(tools.start(start, user), signal.SIGINT):
        ready = [f"{inside}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(_POSTGRES)]
        wait(lambda: tools.run(ready, check=False).returncode == 0, "PostgreSQL")
        yield


@contextmanager
def started(process: subprocess.Popen[bytes], end: int = signal.SIGTERM) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is stopped at the end."""
    try:
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def write_dataset(folder: Path) -> None:
    """A small shop's log: everybody goes from item to item in the same order, each from somewhere."""
    folder.mkdir()
    random = Random(0)
    rows = []
    for user in range(_USERS):
        item, begin = random.randrange(_ITEMS), time.time() - random.uniform(1, _DAYS) * 86_400
        for number in range(_EVENTS):
            rows.append((f"user {user}", f"item {(item + number) % _ITEMS}", int(begin + 3600 * number)))
    with (folder / "interactions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("user_id", "item_id", "timestamp"), *sorted(rows, key=lambda row: row[2])])


def ask(method: str, path: str, body: object = None, key: str | None = None) -> tuple[int, dict[str, Any]]:
    """Ask through nginx."""
    headers = {"content-type": "application/json"} | ({"x-api-key": key} if key else {})
    connection = http.client.HTTPConnection("127.0.0.1", _DOOR, timeout=20)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if "json" in (answer.getheader("content-type") or "") else {}
    finally:
        connection.close()


def answers(host: str) -> int:
    """How many answers a replica has given, by its metrics."""
    connection = http.client.HTTPConnection(host, 8000, timeout=5)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("recsvc_answers_total{")))


def status_of(host: str, port: int, path: str) -> int | None:
    """The status of an answer; None if there is none."""
    try:
        connection = http.client.HTTPConnection(host, port, timeout=2)
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None


def wait(ready: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not after {seconds:.0f} s")
        time.sleep(0.2)
