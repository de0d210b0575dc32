"""The handler that shows the schedules."""

import msgspec
from aiohttp import web

from jobs.schedules.view import ScheduleView, read_schedules
from web.http.as_json import as_json
from web.http.callers import caller
from web.http.context import REDIS, SETTINGS


class ScheduleList(msgspec.Struct, frozen=True):
    """The schedules of the portals that the caller may see, by name."""

    schedules: list[ScheduleView]


async def get_schedules(request: web.Request) -> web.Response:
    """Answer with all schedules."""
    return as_json(ScheduleList(await visible_schedules(request)))


async def visible_schedules(request: web.Request) -> list[ScheduleView]:
    """Read the schedules of the portals that the caller may see, by name."""
    known = caller(request)
    schedules = (one for one in request.app[SETTINGS].schedules if known.sees(one.portal))
    by_name = sorted(schedules, key=lambda schedule: schedule.name)
    return await read_schedules(request.app[REDIS], by_name, portals=known.portals)
