"""A month of a shop in fast motion: events over HTTP, a retraining every night, each day judged by the release in use.

    python benchmarks/month.py DATASET --out FOLDER [--first 2000-12-01] [--days 31] [--questions 300]
                               [--database URL] [--set k=v]... [--plot FILE.svg]

A service, a worker and a database run all the time; a second service keeps the first release for ever. What happened
before the first day is imported, and the first release made of it. Then, day by day: some events, drawn evenly, are
asked about just before they are told ("what comes next for this user?", to both services, and by the popularity of last
night), and all are posted to `/v1/events`; at night `POST /v1/jobs` asks for a retraining, and the next day begins when
it has ended. All the while somebody else asks at a fixed rate. Times are moved so that the last day ended at the last
midnight.

Prints Markdown: NDCG@10 for returning users and those on their first day, with the 95 % interval over users of what
retraining gives; what the nights decided and took; how many requests failed. Exits with 1 if any did.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from simulation.days import Day, DayEvent, Log
from simulation.figures import Asked, gain, mean_table, plot
from simulation.popularity import Popularity
from simulation.processes import Process, Service, Watch

_LIST = 10
_TERMINAL = ("succeeded", "failed", "cancelled")


def main() -> int:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--first", type=date.fromisoformat, default=date(2000, 12, 1))
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--questions", type=int, default=300, help="a day at most")
    parser.add_argument("--rate", type=float, default=10.0, help="requests/s of whoever asks all the time")
    parser.add_argument("--database", help="URL of an empty database; a SQLite file in --out if none is given")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="of every retraining")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True)
    month = Month(arguments)
    month.begin()
    month.live()
    print(month.report())
    if arguments.plot:
        title = f"{arguments.days} days of {arguments.dataset.name}, retrained every night"
        plot(month.asked, month.swaps, arguments.plot, title=title)
    return 1 if month.failed else 0


class Month:
    """What is simulated, and what came of it so far."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._log = Log(arguments.dataset, arguments.first, arguments.days)
        out: Path = arguments.out.absolute()
        self._out, self._store, self._frozen = out, out / "store", out / "frozen"
        self._config = out / "config.yaml"
        self._environment = {
            "OMP_NUM_THREADS": "1",
            "RECSVC_DATABASE": arguments.database or f"sqlite:///{out / 'events.sqlite'}",
            "RECSVC_CONFIG": str(self._config),
            "RECSVC_LOG_REQUESTS": "false",
        }
        self._popularity = Popularity()
        self.asked: list[Asked] = []
        self.nights: list[dict[str, Any]] = []
        self.swaps: list[int] = []
        self.failed = 0

    def begin(self) -> None:
        """Import what was before, and make the first release of it."""
        before = self._log.before()
        earlier = self._out / "before.parquet"
        before.write_parquet(earlier)
        self._users = before["user_id"].unique().sort().to_list()
        self._popularity.tell(before.select("user_id", "item_id").iter_rows())
        self._popularity.close_day()
        shown = self._recsvc("config", "show", *(part for each in self._arguments.settings for part in ("--set", each)))
        self._config.write_text(shown, "utf-8")
        self._recsvc("events", "import", str(earlier))
        began = time.monotonic()
        self._recsvc("retrain", "--store", str(self._store), "--config", str(self._config))
        self._first_seconds = time.monotonic() - began
        # Releases alone: what the never retrained service knows of people is in the database that both share.
        shutil.copytree(self._store / "releases", self._frozen / "releases")
        shutil.copyfile(self._store / "current", self._frozen / "current")

    def live(self) -> None:
        """Every day and every night."""
        with ExitStack() as running:

            def started(process: Any) -> Any:
                return running.enter_context(process)

            served = started(Service(self._store, self._out / "service.log", self._environment))
            frozen = started(Service(self._frozen, self._out / "frozen.log", self._environment))
            worker = started(
                Process(["worker", "--store", str(self._store)], self._out / "worker.log", self._environment)
            )
            served.wait_until_ready()
            frozen.wait_until_ready()
            watch = started(Watch(served, self._users, self._arguments.rate))
            for day in self._log.each_day():
                self._spend(day, served, frozen)
                worker.require_running()
                night = self._sleep(day, served)
                print(_line(day, night, self.asked), file=sys.stderr, flush=True)
        self._watched, self.failed, self._slowest = watch.asked, watch.failed, watch.slowest_s

    def _spend(self, day: Day, served: Service, frozen: Service) -> None:
        """Ask about some events before they are told, tell all."""
        asked_about = day.asked(self._arguments.questions, seed=0)
        waiting: list[DayEvent] = []
        for event in day.events:
            if event.event_id in asked_about:
                served.tell([_posted(each) for each in waiting])
                self._popularity.tell((each.user_id, each.item_id) for each in waiting)
                waiting = []
                lists = (
                    served.recommend(event.user_id, _LIST),
                    frozen.recommend(event.user_id, _LIST),
                    self._popularity.best(event.user_id, _LIST),
                )
                found, kept, popular = (gain(shown, event.item_id) for shown in lists)
                self.asked.append(Asked(day.number, event.user_id, event.first_day, (found, kept, popular)))
            waiting.append(event)
        served.tell([_posted(each) for each in waiting])
        self._popularity.tell((each.user_id, each.item_id) for each in waiting)
        self._popularity.close_day()

    def _sleep(self, day: Day, served: Service) -> dict[str, Any]:
        """Retrain by a job, and wait until the service answers from what came of it."""
        answer = served.client.post("/v1/jobs", json={"kind": "retrain"})
        answer.raise_for_status()
        place, began = f"/v1/jobs/{answer.json()['id']}", time.monotonic()
        while (job := served.client.get(place).raise_for_status().json())["state"] not in _TERMINAL:
            time.sleep(0.5)
        decided = [json.loads(line) for line in (self._store / "retrain" / "decisions.jsonl").read_text().splitlines()]
        night = {"day": day.number, "state": job["state"], "seconds": time.monotonic() - began, "decision": "failed"}
        if job["state"] == "succeeded":
            night |= {"decision": decided[-1]["decision"], "reason": decided[-1]["reason"]}
            if night["decision"] == "published":
                self.swaps.append(day.number)
                while served.release() != decided[-1]["release"]:
                    time.sleep(0.1)
        self.nights.append(night)
        (self._out / "nights.json").write_text(json.dumps(self.nights, indent=1), "utf-8")
        return night

    def report(self) -> str:
        """Everything as Markdown."""
        decisions = [night["decision"] for night in self.nights]
        counts = ", ".join(f"{decisions.count(each)} {each}" for each in dict.fromkeys(decisions))
        seconds = statistics.median(night["seconds"] for night in self.nights)
        kind = "PostgreSQL" if "postgres" in self._environment["RECSVC_DATABASE"] else "SQLite"
        return "\n".join(
            [
                f"{self._arguments.dataset.name}: {self._arguments.days} days from {self._arguments.first}, "
                f"{sum(len(day.events) for day in self._log.each_day()):,} events over HTTP after "
                f"{len(self._log.before()):,} earlier ones; {kind}; {os.cpu_count()} cores, {platform.machine()}, "
                f"settings {' '.join(self._arguments.settings) or 'as they are'}",
                "",
                *mean_table(self.asked),
                "",
                f"Nights: {counts}; first training {self._first_seconds:.0f} s, median night {seconds:.0f} s. Asked "
                f"all the while: {self._watched:,} times, {self.failed} failed, the slowest {self._slowest:.2f} s.",
            ]
        )

    def _recsvc(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "recsvc.cli", *arguments]
        ended = subprocess.run(command, env={**os.environ, **self._environment}, stdout=subprocess.PIPE, check=True)
        return ended.stdout.decode()


def _posted(event: DayEvent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "item_id": event.item_id,
        "kind": "view",
        "time": event.time.isoformat(),
    }


def _line(day: Day, night: dict[str, Any], asked: list[Asked]) -> str:
    today = [each.gains for each in asked if each.day == day.number]
    means = " / ".join(f"{sum(column) / len(today):.3f}" for column in zip(*today, strict=True)) if today else "nobody"
    reason = night.get("reason", night["state"])
    ended = f"{night['decision']} in {night['seconds']:.0f} s: {reason}"
    return f"{day.original}: {len(day.events):,} events, {means}; {ended}"


if __name__ == "__main__":
    sys.exit(main())
