"""The portals: how they are driven now, and a form to change it live."""

from aiohttp import web

from config.portal import MAX_CONCURRENCY, REQUESTS_PER_SECOND
from jobs.steering.limits import CONFIGURED, set_limits
from jobs.view.portal import PortalView, read_portal, read_portals
from web.http.callers import caller, visible_portal, visible_portals
from web.http.context import REDIS
from web.live.topic import Changes
from web.live.watcher import WATCHER
from web.page.admission import form_value
from web.page.live import Parts, live
from web.page.render import fragment, page, see_other
from web.page.words import done_text

_PARTS = {"standing": "_portal_standing.html", "pacing": "_portal_pacing.html"}


async def show_portals(request: web.Request) -> web.Response:
    """Show all portals that the caller may see."""
    return await _portals_page(request, notice=done_text(request.query.get("did", "")))


async def portals_events(request: web.Request) -> web.StreamResponse:
    """Send what changes on the screen of portals; the forms are left alone, as a user may be filling them in."""
    watcher, visible = request.app[WATCHER], caller(request).portals

    async def render(portals: list[PortalView]) -> Parts:
        parts = {}
        for portal in portals:
            for name, template in _PARTS.items():
                parts[f"{name}-{portal.name}"] = fragment(request, template, portal=portal)
            parts[f"answers-{portal.name}"] = fragment(request, "_answers.html", answers=portal.last_answers)
            parts[f"actions-{portal.name}"] = fragment(request, "_actions.html", actions=portal.actions)
        return parts

    def follow(version: str | None) -> Changes[list[PortalView]]:
        return watcher.portal_changes(portals=visible, last_version=version)

    return await live(request, follow, render)


async def change_limits(request: web.Request) -> web.Response:
    """Change the ceiling and the calls in flight of a portal, or go back to the configuration."""
    portal = visible_portal(request, request.match_info["name"])
    redis, by = request.app[REDIS], caller(request).name
    if form_value(request, "do") == "reset":
        await set_limits(redis, portal, by=by, requests_per_second=CONFIGURED, max_concurrency=CONFIGURED)
        return see_other("/portals?did=configured")
    try:
        rate = float(form_value(request, "requests_per_second").replace(",", "."))
        concurrency = int(form_value(request, "max_concurrency"))
        view = await read_portal(redis, portal)
        await set_limits(
            redis,
            portal,
            by=by,
            # An unchanged value is not pinned: it keeps following the configuration.
            requests_per_second=None if _reads_as(rate, view.requests_per_second) else rate,
            max_concurrency=None if concurrency == view.max_concurrency else concurrency,
        )
    except ValueError:
        error = (
            f"{portal.name} is unchanged: calls per second go from {_told(REQUESTS_PER_SECOND)}, "
            f"calls in flight from {_told(MAX_CONCURRENCY)}."
        )
        return await _portals_page(request, status=422, error=error)
    return see_other("/portals?did=limits")


async def _portals_page(request: web.Request, *, status: int = 200, notice: str = "", error: str = "") -> web.Response:
    portals = await read_portals(request.app[REDIS], visible_portals(request))
    return page(
        request,
        "portals.html",
        status=status,
        notice=notice,
        error=error,
        portals=portals,
        rate_bounds=REQUESTS_PER_SECOND,
        concurrency_bounds=MAX_CONCURRENCY,
    )


def _told(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:g} to {bounds[1]:g}"


def _reads_as(rate: float, ceiling: float) -> bool:
    """Check whether a rate is what the form showed for this ceiling."""
    return f"{rate:g}" == f"{ceiling:g}"
