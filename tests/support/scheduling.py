"""Schedules for tests, with the time passed in."""

from typing import Any

from arq.connections import ArqRedis
from pydantic import SecretStr

from cli.embedded import EmbeddedServer
from config.settings import Portal, Schedule, Settings
from jobs.schedules.keeper import Keeper
from jobs.schedules.view import ScheduleView, read_schedules
from jobs.store import keys
from tests.conftest import settings_for

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
#: 2026-11-26, noon in UTC.
NOON_MS = 1_795_694_400_000
#: Due at noon, every day.
NOON = "0 12 * * *"


def schedule(**changes: Any) -> Schedule:
    usual = {"name": "daily", "portal": "main", "filter": {"tags": ["trash"]}, "cron": NOON}
    return Schedule.model_validate(usual | changes)


def settings_with(server: EmbeddedServer, *schedules: Schedule, portal: Portal | None = None) -> Settings:
    """Return settings with one portal; unless one is given, nobody ever calls it."""
    portal = portal or Portal(name="main", url="http://127.0.0.1:9", token=SecretStr("t"))
    return settings_for(server, portal, schedules=schedules)


async def jobs_of(redis: ArqRedis, name: str = "daily") -> list[str]:
    """Return the IDs of a schedule's jobs that exist, newest first."""
    ids = [job_id.decode() for job_id in await redis.execute_command("LRANGE", keys.scheduled(name), 0, -1)]
    return [job_id for job_id in ids if await redis.exists(keys.job(job_id))]


async def started(redis: ArqRedis, settings: Settings, at_ms: int = NOON_MS) -> Keeper:
    """Return a worker's keeper that has looked before noon, and then at a time."""
    keeper = Keeper(redis, settings)
    await keeper.look(NOON_MS - HOUR_MS)
    await keeper.look(at_ms)
    return keeper


async def shown(redis: ArqRedis, settings: Settings, at_ms: int = NOON_MS) -> ScheduleView:
    """Return the only schedule as users see it."""
    [view] = await read_schedules(redis, settings.schedules, at_ms)
    return view
