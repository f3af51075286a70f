"""Splits of an interaction log into what trains, what chooses and what is reported.

Two protocols. Leave-one-out (Sun et al. 2019): per user, or of a fixed share of them, the last event is the
test target and, for a sample of these, the one before it the validation target. Global temporal: one cut in
time, everything before it trains, and the last event after it of each user is the target, which is how a
deployed model is judged.

A target is a position in the log; its history is everything of the same user in front of that position, for
the test including the validation target.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsvc.data.interactions import InteractionLog
from recsvc.errors import DatasetError

Positions = npt.NDArray[np.int64]


class SplitConfig(BaseModel):
    """How the interactions are divided into training, validation and test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["leave-one-out", "temporal"] = Field(
        default="leave-one-out",
        description="Protocol: each user's last event is the test target, or one cut in time for everybody.",
    )
    validation_users: int = Field(
        default=2048, ge=1, description="Number of users drawn at random whose target chooses the model."
    )
    validation_fraction: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Temporal only: share of all interactions that lie between the two cuts in time.",
    )
    test_fraction: float = Field(
        default=0.1, gt=0, lt=1, description="Temporal only: share of all interactions after the later cut."
    )
    test_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Leave-one-out only: share of the users whose last event is held out, chosen by a hash of their id "
        "that never changes; all that others did trains.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the draw of the validation users.")

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> "SplitConfig":
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction must leave something to train on")
        return self


@dataclass(frozen=True, eq=False)
class Split:
    """Which events of a log train, and which are targets.

    Attributes:
        train_ends: int64 [U]; user ``u`` trains on ``log.items[log.offsets[u]:train_ends[u]]``.
        validation_users: user rows, ascending, int64 [A].
        validation_positions: position of each one's target in ``log.items``, int64 [A]; its history is
            ``log.items[log.offsets[user]:position]``, never empty.
        test_users: user rows, ascending, int64 [B].
        test_positions: likewise, int64 [B].
        protocol: one sentence that says all this in print.
    """

    train_ends: Positions
    validation_users: Positions
    validation_positions: Positions
    test_users: Positions
    test_positions: Positions
    protocol: str

    def training_counts(self, log: InteractionLog) -> npt.NDArray[np.int64]:
        """Return how often each item occurs among the training events, int64 [V]."""
        ends = np.repeat(self.train_ends, np.diff(log.offsets))
        trains = np.arange(len(log), dtype=np.int64) < ends
        return np.bincount(log.items[trains], minlength=log.num_items).astype(np.int64, copy=False)


def make_split(log: InteractionLog, config: SplitConfig) -> Split:
    """Split ``log`` as ``config`` says.

    Raises:
        DatasetError: the log is too small for this protocol, or lacks the timestamps that it needs.
    """
    if config.kind == "leave-one-out":
        return leave_one_out(
            log, validation_users=config.validation_users, test_share=config.test_share, seed=config.seed
        )
    validation_from, test_from = temporal_cuts(
        log, validation_fraction=config.validation_fraction, test_fraction=config.test_fraction
    )
    return temporal(
        log,
        validation_from=validation_from,
        test_from=test_from,
        validation_users=config.validation_users,
        seed=config.seed,
    )


def leave_one_out(
    log: InteractionLog, *, validation_users: int = 2048, test_share: float = 1.0, seed: int = 0
) -> Split:
    """Hold out the last event of each user for the test, and the one before it of a sample of users.

    Users with fewer than three events only train. A user of the validation sample trains on all but the last
    two events, any other on all but the last.

    Args:
        log: the log.
        validation_users: how many of the users with a test target have a validation target too.
        test_share: share of the users that may have targets; the others only train. Who they are is decided by
            a hash of the id: the same users in every process and every later log, so that what was held out of
            one training is not learnt from in the next one's place.
        seed: of the draw of the validation users.

    Raises:
        DatasetError: no user has three events, or none of those that have is among the share.
    """
    lengths = np.diff(log.offsets)
    test_users = np.flatnonzero(lengths >= 3)
    if not len(test_users):
        raise DatasetError(
            f"Nothing can be evaluated: none of the {log.num_users:,} users has three interactions, "
            "which leave-one-out needs (one to read, one for validation, one for the test)."
        )
    share = ""
    if test_share < 1:
        long, test_users = test_users, test_users[_hash_shares(log, test_users) < test_share]
        share = f" (hashes of ids below {test_share:g})"
        if not len(test_users):
            raise DatasetError(
                f"Nothing can be evaluated: none of the {len(long):,} users with three interactions is among the share "
                f"of {test_share:g} that is held out; raise split.test_share."
            )
    ends = log.offsets[1:]
    sample = _sample(test_users, validation_users, seed)
    train_ends = np.array(ends)
    train_ends[test_users] -= 1
    train_ends[sample] -= 1
    return Split(
        train_ends=train_ends,
        validation_users=sample,
        validation_positions=ends[sample] - 2,
        test_users=test_users,
        test_positions=ends[test_users] - 1,
        protocol=f"leave-one-out: last = test for {len(test_users):,} of {log.num_users:,} users{share}, "
        f"second last = validation for {len(sample):,} of these (seed {seed}), everything else trains",
    )


def temporal_cuts(
    log: InteractionLog, *, validation_fraction: float = 0.1, test_fraction: float = 0.1
) -> tuple[float, float]:
    """Return the two cuts ``(validation_from, test_from)`` in epoch seconds that give about these shares.

    Events of the same instant are never parted, so with many ties the shares come out larger.

    Raises:
        DatasetError: the log has no timestamps.
    """
    times = np.sort(_timestamps(log))
    first_test = int(len(times) * (1 - test_fraction))
    first_validation = int(len(times) * (1 - test_fraction - validation_fraction))
    return float(times[first_validation]), float(times[first_test])


def temporal(
    log: InteractionLog,
    *,
    validation_from: float,
    test_from: float,
    validation_users: int = 2048,
    seed: int = 0,
) -> Split:
    """Cut the log in time: everything before ``validation_from`` trains, nothing after it does.

    A user's test target is the last event at or after ``test_from``, the validation target the last one from
    ``validation_from`` up to ``test_from``; the history is all of the user's events in front of the target,
    those after the cut included. A target without any history is left out.

    Args:
        log: the log, with timestamps.
        validation_from: the earlier cut, epoch seconds.
        test_from: the later cut, epoch seconds.
        validation_users: at most so many users are validated on, drawn at random with ``seed``.
        seed: of that draw.

    Raises:
        DatasetError: the log has no timestamps, or nothing lies before, between or after the cuts.
    """
    times = _timestamps(log)
    starts = log.offsets[:-1]
    train_ends = starts + _count_before(times, log.offsets, validation_from)
    test_starts = starts + _count_before(times, log.offsets, test_from)
    ends = log.offsets[1:]
    validation = np.flatnonzero((test_starts > train_ends) & (test_starts - 1 > starts))
    test = np.flatnonzero((ends > test_starts) & (ends - 1 > starts))
    cuts = f"the cuts at {_utc(validation_from)} and {_utc(test_from)}"
    if not np.any(train_ends > starts):
        raise DatasetError(f"Nothing is left to train on: no interaction lies before {_utc(validation_from)}.")
    if not len(validation) or not len(test):
        raise DatasetError(
            f"Nothing can be evaluated: with {cuts}, {len(validation):,} users have a validation target and "
            f"{len(test):,} a test target with a history before it; move the cuts or take leave-one-out."
        )
    sample = _sample(validation, validation_users, seed)
    return Split(
        train_ends=train_ends,
        validation_users=sample,
        validation_positions=test_starts[sample] - 1,
        test_users=test,
        test_positions=ends[test] - 1,
        protocol=f"temporal: training ends at {_utc(validation_from)}, last event from then to "
        f"{_utc(test_from)} = validation for {len(sample):,} of {len(validation):,} users (seed {seed}), "
        f"last event from then on = test for {len(test):,} of {log.num_users:,} users, "
        "history = all that precedes the target",
    )


def _timestamps(log: InteractionLog) -> npt.NDArray[np.float64]:
    if log.timestamps is None:
        raise DatasetError(
            "A temporal split needs times, and the interactions have no timestamp column; add one or take "
            "leave-one-out."
        )
    if not len(log):
        raise DatasetError("Nothing can be split: the log has no interactions.")
    return log.timestamps


def _count_before(times: npt.NDArray[np.float64], offsets: Positions, cut: float) -> Positions:
    """Count each user's events before ``cut``, int64 [U]; being in time order, they are the user's first."""
    before = np.zeros(len(times) + 1, dtype=np.int64)
    np.cumsum(times < cut, out=before[1:])
    return before[offsets[1:]] - before[offsets[:-1]]


def _hash_shares(log: InteractionLog, users: Positions) -> npt.NDArray[np.float64]:
    """Return for each of ``users`` a number in [0, 1] that depends on the id alone, float64 [n]."""
    digests = b"".join(
        hashlib.blake2b(log.users.id_of(user).encode(), digest_size=8).digest() for user in users.tolist()
    )
    return np.frombuffer(digests, dtype=">u8") / 2.0**64


def _sample(users: Positions, size: int, seed: int) -> Positions:
    if len(users) <= size:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, size=size, replace=False))


def _utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
