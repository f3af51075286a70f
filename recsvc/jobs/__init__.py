"""Jobs: what has been asked for in a table, a worker that runs each as a process of its own, and a schedule.

>>> from recsvc.events import Database
>>> from recsvc.jobs import JobStore, Retrain
>>> with Database.open("sqlite:///events.sqlite") as database:  # doctest: +SKIP
...     JobStore(database).submit(Retrain(), requested_by="Ada").job.state
'queued'

The table is the truth. Whoever asks for a job writes a row and nothing else, so the service needs no queue library; a
worker (`recsvc.jobs.worker`) sees rows that wait and puts their ids into the queue, from which workers take them.
"""

from recsvc.jobs.figures import Figures
from recsvc.jobs.job import STATES, Job, Progress, State
from recsvc.jobs.kinds import (
    KINDS,
    Activate,
    AnyParameters,
    Increment,
    Prune,
    RecommendAll,
    Retrain,
    Rollback,
    parse_parameters,
)
from recsvc.jobs.store import JobStore, LiveJobError, ReusedKeyError, Submitted, UnknownJobError

__all__ = [
    "KINDS",
    "STATES",
    "Activate",
    "AnyParameters",
    "Figures",
    "Increment",
    "Job",
    "JobStore",
    "LiveJobError",
    "Progress",
    "Prune",
    "RecommendAll",
    "Retrain",
    "ReusedKeyError",
    "Rollback",
    "State",
    "Submitted",
    "UnknownJobError",
    "parse_parameters",
]
