"""What is watched, and what its watchers are told."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

import msgspec

from jobs.schedules.view import ScheduleView
from jobs.view.job import Job, to_json
from jobs.view.portal import PortalView

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """The newest state of what is watched.

    Attributes:
        version: fingerprint of the content, the same in every process; what `Last-Event-ID` brings back.
        value: the job, or the page of the list.
        json: the same as JSON, written once for all.
        last: nothing will change after this.
    """

    version: str
    value: T
    json: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing new for a while.

    Attributes:
        away: Redis does not answer; the watching goes on.
    """

    away: bool


Changes: TypeAlias = AsyncGenerator[Change[T] | Silence, None]


def job_change(job: Job) -> Change[Job]:
    """Return a job with its version.

    How a portal is driven goes on changing after a job has ended; that is no change of the job. Nor is what changes by
    the mere passing of time: the pace of a job that stands still falls.
    """
    standing = _standing_still(_apart_from_pace(job) if job.ended else job)
    return _change(job, to_json(standing), to_json(job), last=job.ended)


def jobs_change(jobs: list[Job]) -> Change[list[Job]]:
    """Return the jobs of a list with their version, without the pace of their portals, which a list does not show."""
    shown = [_apart_from_pace(job) for job in jobs]
    return _change(shown, to_json([_standing_still(job) for job in shown]), to_json(shown))


def portals_change(portals: list[PortalView]) -> Change[list[PortalView]]:
    """Return portals with their version."""
    json = to_json(portals)
    return _change(portals, json, json)


def schedules_change(schedules: list[ScheduleView]) -> Change[list[ScheduleView]]:
    """Return schedules with their version."""
    json = to_json(schedules)
    return _change(schedules, json, json)


def _change(value: T, shown: bytes, json: bytes, *, last: bool = False) -> Change[T]:
    return Change(hashlib.blake2b(shown, digest_size=9).hexdigest(), value, json, last)


def _standing_still(job: Job) -> Job:
    return msgspec.structs.replace(job, contacts_per_second=0.0, eta_s=None)


def _apart_from_pace(job: Job) -> Job:
    return msgspec.structs.replace(job, requests_per_second=None, batch_size=None)


@dataclass(eq=False)
class Topic(Generic[T]):
    """Something that is watched: its newest state, and a signal for all who wait for a newer one."""

    latest: Change[T] | None = None
    gone: bool = False
    watchers: int = 0
    signal: asyncio.Event = field(default_factory=asyncio.Event)
    asked_s: float = 0.0

    def show(self, change: Change[T] | None, asked_s: float) -> None:
        """Take in what was read; None where it no longer exists.

        Args:
            change: what was read.
            asked_s: when the reading began, on `perf_counter`. Two may be under way at once, and end in any order: what
                is older than what is shown already is not taken.
        """
        if asked_s < self.asked_s:
            return
        self.asked_s = asked_s
        before = None if self.latest is None or self.gone else self.latest.version
        self.gone = change is None
        self.latest = change or self.latest
        if self.gone or (change is not None and change.version != before):
            self.wake()

    def wake(self) -> None:
        """Let all who wait look again."""
        self.signal.set()
        self.signal = asyncio.Event()
