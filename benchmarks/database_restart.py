"""Whether an event that has been acknowledged survives a restart of the database in the middle of the load.

    python benchmarks/database_restart.py [--seconds 20] [--clients 8] [--batch 20]

Starts a PostgreSQL server of its own and a service on it. Clients post batches of events as fast as they are answered,
and send a batch again until it is acknowledged. The database is stopped and started twice, once in order (``fast``) and
once by a crash (``immediate``). In the end every acknowledged event is looked up. Exit code 1 where one is missing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

import httpx
from load.cluster import Cluster, find_binaries
from sqlalchemy import select

from recsvc.events import Database
from recsvc.events.schema import events as events_table

DOWN_SECONDS = 1.0
START_SECONDS = 60.0


@dataclass
class Client:
    """Posts events, and notes what it was told.

    Attributes:
        acknowledged: Ids of events that the service has said it keeps.
        answers: How often which status came; 0: none at all.
        longest: Seconds of the longest time without an acknowledgement.
    """

    number: int
    url: str
    batch: int
    acknowledged: list[str] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    longest: float = 0.0

    def run(self, stop: threading.Event) -> None:
        """Post until told to stop; the last batch is sent until it is acknowledged, too."""
        sent, last = 0, monotonic()
        with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as http:
            while not stop.is_set():
                ids = [f"{self.number}-{sent + place}" for place in range(self.batch)]
                sent += self.batch
                now = datetime.now(UTC).isoformat()
                body = {"events": [_event(event_id, self.number, now) for event_id in ids]}
                while not self._post(http, body):
                    sleep(0.05)
                self.acknowledged += ids
                self.longest, last = max(self.longest, monotonic() - last), monotonic()

    def _post(self, http: httpx.Client, body: dict[str, object]) -> bool:
        try:
            answer = http.post("/v1/events", json=body)
        except httpx.TransportError:
            self.answers[0] += 1
            return False
        self.answers[answer.status_code] += 1
        return answer.status_code == 200 and answer.json()["rejected"] == 0


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the load")
    parser.add_argument("--clients", type=int, default=8, help="clients that post at once")
    parser.add_argument("--batch", type=int, default=20, help="events of one request")
    arguments = parser.parse_args()
    binaries = find_binaries()
    if binaries is None:
        print("There is no PostgreSQL server on this machine: install one.", file=sys.stderr)
        return 2
    with Cluster(binaries) as cluster, tempfile.TemporaryDirectory() as store:
        service, url = _serve(Path(store), cluster.url)
        try:
            clients = [Client(number, url, arguments.batch) for number in range(arguments.clients)]
            _load(clients, cluster, arguments.seconds)
        finally:
            service.terminate()
            service.wait(30)
        return _report(clients, cluster.url)


def _load(clients: list[Client], cluster: Cluster, seconds: float) -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
    for thread in threads:
        thread.start()
    for mode in ("fast", "immediate"):
        sleep(seconds / 3)
        cluster.stop(mode)
        sleep(DOWN_SECONDS)
        cluster.start()
    sleep(seconds / 3)
    stop.set()
    for thread in threads:
        thread.join()


def _serve(store: Path, database: str) -> tuple["subprocess.Popen[bytes]", str]:
    """A service without a release: events need none."""
    variables = {
        "RECSVC_DATABASE": database,
        "RECSVC_PORT": "0",
        "RECSVC_LOG_REQUESTS": "false",
        "OMP_NUM_THREADS": "1",
    }
    log = store / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "recsvc.cli", "serve", "--store", str(store)]
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=file, stderr=subprocess.STDOUT)
    probe = {"events": [_event("probe", 0, datetime.now(UTC).isoformat())]}
    deadline = monotonic() + START_SECONDS
    while monotonic() < deadline and process.poll() is None:
        _, found, rest = log.read_text().partition('"url":"')
        url = rest.partition('"')[0]
        with suppress(httpx.TransportError):
            if found and httpx.post(f"{url}/v1/events", json=probe, trust_env=False).status_code == 200:
                return process, url
        sleep(0.1)
    process.kill()
    raise RuntimeError(f"the service did not start: {log.read_text()}")


def _event(event_id: str, user: int, time: str) -> dict[str, str]:
    return {"event_id": event_id, "user_id": f"user {user}", "item_id": f"item {event_id}", "time": time}


def _report(clients: list[Client], url: str) -> int:
    with Database.open(url) as database:
        query = select(events_table.c.event_id).where(events_table.c.event_id != "probe")
        stored = database.connections.read(lambda connection: connection.execute(query).scalars().all())
    acknowledged = {event_id for client in clients for event_id in client.acknowledged}
    answers = sum((client.answers for client in clients), Counter())
    missing = acknowledged - set(stored)
    rows = {
        "requests answered 200": answers.pop(200, 0),
        "requests answered otherwise, by status (0: no answer)": dict(sorted(answers.items())) or 0,
        "events acknowledged": len(acknowledged),
        "events in the database": len(stored),
        "acknowledged events that are missing": len(missing),
        "events that are there twice": len(stored) - len(set(stored)),
        "longest time without an acknowledgement, s": f"{max(client.longest for client in clients):.1f}",
    }
    print("| restart of the database under load | |\n|---|---:|")
    for label, value in rows.items():
        print(f"| {label} | {value:,} |" if isinstance(value, int) else f"| {label} | {value} |")
    return 1 if missing or not acknowledged else 0


if __name__ == "__main__":
    sys.exit(main())
