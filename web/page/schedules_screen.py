"""The schedules: when each is due, its last jobs, and what it waits for."""

from aiohttp import web

from jobs.schedules.view import ScheduleView
from web.api.schedules import visible_schedules
from web.http.callers import caller
from web.live.topic import Changes
from web.live.watcher import WATCHER
from web.page.live import Parts, live
from web.page.render import fragment, page


async def show_schedules(request: web.Request) -> web.Response:
    """Show all schedules that the caller may see."""
    return page(request, "schedules.html", schedules=await visible_schedules(request))


async def schedules_events(request: web.Request) -> web.StreamResponse:
    """Send the schedules that change."""
    watcher, visible = request.app[WATCHER], caller(request).portals

    async def render(schedules: list[ScheduleView]) -> Parts:
        return {f"about-{one.name}": fragment(request, "_schedule.html", schedule=one) for one in schedules}

    def follow(version: str | None) -> Changes[list[ScheduleView]]:
        return watcher.schedule_changes(portals=visible, last_version=version)

    return await live(request, follow, render)
