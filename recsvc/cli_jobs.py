"""The commands of jobs: the worker that runs them, and asking for them, looking at them, cancelling them."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsvc.cli_events import DatabaseOption, StoreOption, open_database
from recsvc.cli_releases import current_user
from recsvc.errors import ConfigError, JobError
from recsvc.secret_files import secret
from recsvc.terminal import print_facts, say

if TYPE_CHECKING:
    from recsvc.jobs import Job

jobs_app = typer.Typer(
    help="Ask for jobs, look at them, cancel them; `recsvc worker` runs them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
JobId = Annotated[str, typer.Argument(help="Job id.", show_default=False)]
QueueOption = Annotated[
    str | None,
    typer.Option(
        "--queue",
        help="redis://HOST:6379/0 or sqlite:///FILE [default: jobs.sqlite in the store].",
        envvar="RECSVC_QUEUE",
        show_envvar=True,
        callback=lambda value: secret("RECSVC_QUEUE", value),  # RECSVC_QUEUE_FILE
    ),
]


def worker(
    store: StoreOption = None,
    database: DatabaseOption = None,
    queue: QueueOption = None,
    schedule: Annotated[
        str, typer.Option("--schedule", help="run it beside the jobs; only it, and no jobs; or off.")
    ] = "run",
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the worker that touches RECSVC_ALIVE_FILE is alive.")
    ] = False,
) -> None:
    """Run jobs, each as a process of its own, and RECSVC_SCHEDULE; RECSVC_* variables set what has no option here."""
    from recsvc.jobs.settings import load_worker_settings

    settings = load_worker_settings(store=store, database=database, queue=queue)
    modes = ("run", "only", "off")
    if schedule not in modes:
        raise ConfigError(f"--schedule {schedule[:40]}: give one of {', '.join(modes)}")
    if check:
        from recsvc.jobs.alive import is_alive

        if settings.alive_file is None:
            raise ConfigError("--check: set RECSVC_ALIVE_FILE, for the worker and for this command alike")
        if not is_alive(settings.alive_file):
            raise JobError(f"The worker of {settings.alive_file} is not alive: look at its log.")
        return
    from recsvc.jobs.worker import Worker

    if schedule != "only":
        settings.store.mkdir(parents=True, exist_ok=True)
    _configure_logging()
    Worker(settings, schedule).run()  # type: ignore[arg-type]  # checked above


@jobs_app.command("list")
def jobs_list(
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only jobs in this state; may be repeated.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="Newest jobs to list.", min=1, max=1000)] = 20,
    database: DatabaseOption = None,
    store: StoreOption = None,
) -> None:
    """List the jobs, newest first."""
    from recsvc.jobs import STATES, JobStore

    for name in state or ():
        if name not in STATES:
            raise ConfigError(f"--state {name[:40]}: give one of {', '.join(STATES)}")
    with open_database(database, store) as opened:
        found = JobStore(opened).list(limit, states=state or ())
    for job in found:
        print(
            "  ".join(
                (job.id, f"{job.created:%Y-%m-%d %H:%M:%S}", f"{job.state:9}", f"{job.kind:13}", _note(job))
            ).rstrip()
        )


@jobs_app.command("show")
def jobs_show(job_id: JobId, database: DatabaseOption = None, store: StoreOption = None) -> None:
    """Print a job and the last lines that it has printed."""
    from recsvc.jobs import JobStore

    with open_database(database, store) as opened:
        job = JobStore(opened).find(job_id)
    if job is None:
        raise JobError(f"There is no job {job_id[:40]!r}: `recsvc jobs list` names them.")
    facts: dict[str, Any] = {
        "job": job.id,
        "kind": job.kind,
        "parameters": json.dumps(job.parameters, ensure_ascii=False),
        "state": f"{job.state}, is asked to stop" if job.cancelling and job.is_live else job.state,
        "asked for by": job.requested_by,
        "created": f"{job.created:%Y-%m-%d %H:%M:%S} UTC",
        "due": None if job.due is None else f"{job.due:%Y-%m-%d %H:%M} UTC",
        "started": None if job.started is None else f"{job.started:%Y-%m-%d %H:%M:%S} UTC",
        "finished": None if job.finished is None else f"{job.finished:%Y-%m-%d %H:%M:%S} UTC",
        "attempt": f"{job.attempt} of {job.attempts}",
        "progress": _note(job) or None,
        "result": None if job.result is None else json.dumps(job.result, ensure_ascii=False),
    }
    print_facts({label: value for label, value in facts.items() if value is not None})
    if job.log:
        print("\n".join(("", *job.log)))


@jobs_app.command("submit")
def jobs_submit(
    kind: Annotated[str, typer.Argument(help="What to do, such as retrain.", show_default=False)],
    parameters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Parameters, such as cold=true or k=20.", show_default=False),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Your name for this request: sent twice, it makes one job.")
    ] = None,
    database: DatabaseOption = None,
    store: StoreOption = None,
) -> None:
    """Ask for a job; a worker takes it."""
    from recsvc.jobs import JobStore, parse_parameters

    asked = parse_parameters(kind, dict(_parameter(text) for text in parameters or ()))
    with open_database(database, store, create=True) as opened:
        made = JobStore(opened).submit(asked, requested_by=f"user {current_user()}", idempotency_key=key)
    if not made.is_new:
        say("there is such a job already")
    print(made.job.id)


@jobs_app.command("cancel")
def jobs_cancel(job_id: JobId, database: DatabaseOption = None, store: StoreOption = None) -> None:
    """Cancel a job that waits, or have one stopped that runs."""
    from recsvc.jobs import JobStore

    with open_database(database, store) as opened:
        job = JobStore(opened).cancel(job_id)
    say("it is asked to stop" if job.is_live else "it was waiting")
    print(job.id)


@jobs_app.command("retry")
def jobs_retry(job_id: JobId, database: DatabaseOption = None, store: StoreOption = None) -> None:
    """Queue a job again that has failed or was cancelled."""
    from recsvc.jobs import JobStore

    with open_database(database, store) as opened:
        print(JobStore(opened).retry(job_id).id)


def _note(job: "Job") -> str:
    if job.error is not None:
        return job.error
    return f"[{job.progress.done}/{job.progress.total}] {job.progress.text}" if job.progress is not None else ""


def _parameter(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigError(f"{text[:40]}: write NAME=VALUE, such as k=20")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _configure_logging() -> None:
    """One line for everything that happens, traces of huey's included."""
    import logging
    import time

    class OneLine(logging.Formatter):
        converter = staticmethod(time.gmtime)

        def format(self, record: logging.LogRecord) -> str:
            error = record.exc_info[1] if record.exc_info else None
            record.exc_info = None
            reason = "" if error is None else f": {type(error).__name__}: {error}"
            return " ".join(f"{super().format(record)}{reason}".split())

    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("recsvc").setLevel(logging.INFO)
