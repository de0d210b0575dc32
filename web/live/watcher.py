"""Watches Redis for all who watch a job: one look serves them all, however many they are.

What is watched is a *topic*: one job, the newest jobs, the portals, or the schedules. All watched jobs are read
together, twice a second, and only while a reader watches. A topic keeps nothing but its newest state; a slow reader
misses what was in between, so that no queue can grow.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from time import perf_counter
from typing import Any

from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.logging import get_logger
from config.settings import Settings
from jobs.schedules.view import ScheduleView, read_schedules
from jobs.view.job import Job, list_jobs, read_jobs
from jobs.view.portal import PortalView, read_portals
from jobs.words.errors import UnknownJob
from jobs.words.states import State
from web.http.context import LIMITS, REDIS, SETTINGS
from web.http.limits import Limits
from web.http.places import Places
from web.live.topic import (
    Change,
    Changes,
    Silence,
    T,
    Topic,
    job_change,
    jobs_change,
    portals_change,
    schedules_change,
)

#: Jobs read in one pipeline: some milliseconds of work, between which other requests have their turn.
_AT_ONCE = 100

_LONGEST_PAUSE_S = 2.0

_log = get_logger()


@dataclass(frozen=True, slots=True)
class _List:
    """Which page of the list is watched."""

    portals: frozenset[str] | None
    state: State | None
    limit: int


class Watcher:
    """Reads changes once and tells all watchers.

    Args:
        redis: the connection.
        settings: for the portals there are.
        limits: how many streams there may be, how often to look, and how often to tell that nothing is new.
    """

    def __init__(self, redis: Redis, settings: Settings, limits: Limits) -> None:
        self._redis = redis
        self._settings = settings
        self._limits = limits
        self.places = Places(limits.event_streams, "Too many event streams are open; poll the job instead.")
        self._jobs: dict[str, Topic[Job]] = {}
        self._lists: dict[_List, Topic[list[Job]]] = {}
        self._portals: dict[frozenset[str] | None, Topic[list[PortalView]]] = {}
        self._schedules: dict[frozenset[str] | None, Topic[list[ScheduleView]]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._away = False
        self._closed = False

    def changes(self, job_id: str, last_version: str | None = None) -> Changes[Job]:
        """Watch a job. To be closed after use (`contextlib.aclosing`), so that it is not read in vain.

        Args:
            job_id: the job's ID.
            last_version: the version that the reader has; it is not given again.

        Yields:
            Its state immediately and then whenever it changes, only ever the newest; silence where there is nothing new
            for `events_silence_s`, or when Redis goes away. Ends after the state in which the job has ended, or when
            the server is stopping.

        Raises:
            UnknownJob: there is no such job, or no longer.
        """

        async def look(topic: Topic[Job]) -> None:
            asked_s = perf_counter()
            [job] = await read_jobs(self._redis, [job_id])
            topic.show(job_change(job) if job else None, asked_s)

        return self._follow(self._jobs, job_id, look, last_version)

    def list_changes(
        self,
        *,
        portals: frozenset[str] | None = None,
        state: State | None = None,
        limit: int = 50,
        last_version: str | None = None,
    ) -> Changes[list[Job]]:
        """Watch the newest jobs; the same as `changes`, without an end.

        Args:
            portals: only jobs of these portals; None for all.
            state: only jobs in this state.
            limit: at most so many jobs.
            last_version: the version that the reader has; it is not given again.
        """
        wanted = _List(portals, state, limit)

        async def look(topic: Topic[list[Job]]) -> None:
            asked_s = perf_counter()
            topic.show(await self._read_list(wanted), asked_s)

        return self._follow(self._lists, wanted, look, last_version)

    def portal_changes(
        self, *, portals: frozenset[str] | None = None, last_version: str | None = None
    ) -> Changes[list[PortalView]]:
        """Watch the configured portals; the same as `changes`, without an end.

        Args:
            portals: only these; None for all.
            last_version: the version that the reader has; it is not given again.
        """

        async def look(topic: Topic[list[PortalView]]) -> None:
            asked_s = perf_counter()
            topic.show(await self._read_portals(portals), asked_s)

        return self._follow(self._portals, portals, look, last_version)

    def schedule_changes(
        self, *, portals: frozenset[str] | None = None, last_version: str | None = None
    ) -> Changes[list[ScheduleView]]:
        """Watch the configured schedules; the same as `changes`, without an end.

        Args:
            portals: only those of these portals; None for all.
            last_version: the version that the reader has; it is not given again.
        """

        async def look(topic: Topic[list[ScheduleView]]) -> None:
            asked_s = perf_counter()
            topic.show(await self._read_schedules(portals), asked_s)

        return self._follow(self._schedules, portals, look, last_version)

    async def close(self) -> None:
        """End all streams immediately: the server is stopping."""
        self._closed = True
        self._wake_all()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _follow(
        self,
        topics: dict[Any, Topic[T]],
        key: Hashable,
        look: Callable[[Topic[T]], Awaitable[None]],
        last_version: str | None,
    ) -> Changes[T]:
        topic = topics.setdefault(key, Topic())
        topic.watchers += 1
        try:
            if topic.watchers == 1:  # further ones wait for its answer, or for the next look at all
                await self._noting_absence(look(topic))
            self._keep_looking()
            version, told_away = last_version, False
            while not self._closed:
                latest, signal = topic.latest, topic.signal
                if topic.gone:
                    raise UnknownJob(str(key))
                if latest is not None and latest.version != version:
                    version = latest.version
                    yield latest
                elif latest is not None and latest.last:
                    return
                elif self._away and not told_away:
                    told_away = True
                    yield Silence(away=True)
                else:
                    told_away &= self._away
                    try:
                        async with asyncio.timeout(self._limits.events_silence_s):
                            await signal.wait()
                    except TimeoutError:
                        yield Silence(away=self._away)
        finally:
            topic.watchers -= 1
            if not topic.watchers:
                del topics[key]

    def _keep_looking(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Read all topics again and again, until there are none."""
        took_s = 0.0
        while True:
            # Where there is much to read, reading must not take up all the time.
            await asyncio.sleep(max(self._limits.events_every_s, min(4 * took_s, _LONGEST_PAUSE_S)))
            if not any((self._jobs, self._lists, self._portals, self._schedules)):
                return
            started = perf_counter()
            await self._noting_absence(self._look_once())
            took_s = perf_counter() - started

    async def _look_once(self) -> None:
        jobs = iter(list(self._jobs.items()))
        while some := list(islice(jobs, _AT_ONCE)):
            asked_s = perf_counter()
            read = await read_jobs(self._redis, [job_id for job_id, _ in some])
            for (_, job_topic), job in zip(some, read, strict=True):
                job_topic.show(job_change(job) if job else None, asked_s)
        for wanted, list_topic in list(self._lists.items()):
            asked_s = perf_counter()
            list_topic.show(await self._read_list(wanted), asked_s)
        for portals, portals_topic in list(self._portals.items()):
            asked_s = perf_counter()
            portals_topic.show(await self._read_portals(portals), asked_s)
        for portals, schedules_topic in list(self._schedules.items()):
            asked_s = perf_counter()
            schedules_topic.show(await self._read_schedules(portals), asked_s)

    async def _read_list(self, wanted: _List) -> Change[list[Job]]:
        page = await list_jobs(self._redis, portals=wanted.portals, state=wanted.state, limit=wanted.limit)
        return jobs_change(page.jobs)

    async def _read_portals(self, wanted: frozenset[str] | None) -> Change[list[PortalView]]:
        names = sorted(name for name in self._settings.portals if wanted is None or name in wanted)
        return portals_change(await read_portals(self._redis, [self._settings.portals[name] for name in names]))

    async def _read_schedules(self, wanted: frozenset[str] | None) -> Change[list[ScheduleView]]:
        schedules = [one for one in self._settings.schedules if wanted is None or one.portal in wanted]
        return schedules_change(await read_schedules(self._redis, schedules, portals=wanted))

    async def _noting_absence(self, look: Awaitable[None]) -> None:
        """Look, and when Redis does not answer say so to all who wait instead of ending their streams."""
        alarm = asyncio.get_running_loop().call_later(self._limits.events_patience_s, self._note_absence)
        try:
            await look
        except (RedisError, TimeoutError):
            self._note_absence()
        except Exception:  # noqa: BLE001 - a bug in reading one job must not silence the streams of all others
            _log.exception("watcher_failed")
        else:
            self._away = False
        finally:
            alarm.cancel()

    def _note_absence(self) -> None:
        if not self._away:
            self._away = True
            self._wake_all()

    def _wake_all(self) -> None:
        kinds: tuple[Mapping[Any, Topic[Any]], ...] = (self._jobs, self._lists, self._portals, self._schedules)
        for topic in chain.from_iterable(kind.values() for kind in kinds):
            topic.wake()


WATCHER = web.AppKey("watcher", Watcher)
"""The one watcher of this process."""


def install(app: web.Application) -> None:
    """Give an application its watcher, from its start until it stops."""

    async def start(app: web.Application) -> None:
        app[WATCHER] = Watcher(app[REDIS], app[SETTINGS], app[LIMITS])

    async def stop(app: web.Application) -> None:
        await app[WATCHER].close()

    app.on_startup.append(start)
    app.on_shutdown.append(stop)
