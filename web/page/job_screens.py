"""The list of jobs, and one job: both live."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from jobs.ledger.rows import has_ledger
from jobs.view.history import read_history
from jobs.view.job import Job, list_jobs, read_job, with_sample
from jobs.view.why import explain
from jobs.words.states import State
from web.http.callers import caller, check_visible, visible_portals
from web.http.context import REDIS, SETTINGS
from web.live.topic import Changes
from web.live.watcher import WATCHER
from web.page import chart
from web.page.canary import compare
from web.page.live import Parts, live
from web.page.render import fragment, page
from web.page.session import visitor_of
from web.page.standing import announcement, eta_text, name_of, offered, standing_of, waits_for
from web.page.text import THIN, down_percent
from web.page.words import STATES, done_text

#: Jobs on one screen.
_PER_PAGE = 20

#: Of the portal's last answers.
_ANSWERS = 8

#: The parts of the screen of one job, by the id of their element.
_PARTS = {
    "progress": "_job_progress.html",
    "controls": "_job_controls.html",
    "canary": "_job_canary.html",
    "plan": "_job_plan.html",
    "bundle": "_job_bundle.html",
    "outcomes": "_job_outcomes.html",
    "facts": "_job_facts.html",
    "plots": "_job_plots.html",
    "answers": "_answers.html",
    "actions": "_actions.html",
}


async def show_jobs(request: web.Request) -> web.Response:
    """Show the newest jobs, or older ones behind a cursor."""
    state, portals, cursor = _state(request), _portals(request), request.query.get("cursor")
    try:
        found = await list_jobs(request.app[REDIS], state=state, portals=portals, limit=_PER_PAGE, cursor=cursor)
    except ValueError:
        raise web.HTTPNotFound from None
    query = {name: request.query[name] for name in ("state", "portal") if request.query.get(name)}
    first = request.rel_url.with_query(query)
    return page(
        request,
        "jobs.html",
        **_list_values(request, found.jobs),
        state=state,
        portal=request.query.get("portal", ""),
        first=str(first) if cursor else "",
        next_page=str(first.update_query(cursor=found.next_cursor)) if found.next_cursor else "",
        # What is behind a cursor is history: it does not move.
        events="" if cursor else str(first.with_path("/events").with_query(query)),
    )


async def jobs_events(request: web.Request) -> web.StreamResponse:
    """Send the rows of the list that change; the whole list when other jobs are in it."""
    watcher, shown = request.app[WATCHER], dict[str, Job]()
    portals, state = _portals(request), _state(request)

    async def render(jobs: list[Job]) -> Parts:
        before = shown.copy()
        shown.clear()
        shown.update((job.id, job) for job in jobs)
        if list(before) != list(shown):
            return {"jobs": fragment(request, "_jobs.html", **_list_values(request, jobs))}
        return {
            f"job-{job.id}": fragment(request, "_job_row.html", job=job, waits=waits_for(job))
            for job in jobs
            if job != before[job.id]
        }

    def follow(version: str | None) -> Changes[list[Job]]:
        return watcher.list_changes(portals=portals, state=state, limit=_PER_PAGE, last_version=version)

    return await live(request, follow, render)


async def show_job(request: web.Request) -> web.Response:
    """Show one job."""
    job = check_visible(request, await read_job(request.app[REDIS], request.match_info["job_id"]))
    return await job_page(request, job, notice=done_text(request.query.get("did", "")))


async def job_page(
    request: web.Request, job: Job, *, status: int = 200, notice: str = "", error: str = ""
) -> web.Response:
    """Show one job, and what came of what was asked of it."""
    values = await _job_values(request, job)
    return page(request, "job.html", status=status, notice=notice, error=error, **values)


async def job_events(request: web.Request) -> web.StreamResponse:
    """Send the parts of one job's screen that change."""
    watcher = request.app[WATCHER]
    job_id = check_visible(request, await read_job(request.app[REDIS], request.match_info["job_id"])).id

    async def render(job: Job) -> Parts:
        values = await _job_values(request, job)
        parts = {name: fragment(request, template, **values) for name, template in _PARTS.items()}
        return parts | {"title": f"{values['title']} · crm-sweep", "announce": values["announcement"]}

    return await live(request, lambda version: watcher.changes(job_id, version), render)


def _list_values(request: web.Request, jobs: Sequence[Job]) -> dict[str, Any]:
    return {
        "jobs": jobs,
        "waits": {job.id: waits_for(job) for job in jobs},
        "portals": [portal.name for portal in visible_portals(request)],
        "filtered": bool(request.query.get("state") or request.query.get("portal") or request.query.get("cursor")),
    }


async def _job_values(request: web.Request, job: Job) -> dict[str, Any]:
    redis, settings, visitor = request.app[REDIS], request.app[SETTINGS], visitor_of(request)
    if visitor.may("control"):
        job = await with_sample(redis, job)  # personal data, for those who may approve it
    portal = settings.portals.get(job.portal)
    why = await explain(redis, settings, job.id)
    moves = why.constraint is not None and standing_of(job) is None
    return {
        "job": job,
        "title": _title(job),
        "announcement": announcement(job),
        "reason": standing_of(job),
        "why": why.explanation if moves else "",
        "eta": eta_text(why.eta) if why.eta else "",
        "verbs": offered(job, visitor),
        "comparison": compare(job.canary, job.plan) if job.canary else (),
        "second_person": portal is not None and portal.needs_second_person(job.total),
        "plots": chart.plots(await read_history(redis, job.id)),
        "answers": why.portal.last_answers[:_ANSWERS] if why.portal else (),
        "actions": job.actions,
        "has_ledger": job.total > 0 and (job.state is not State.QUEUED or await has_ledger(redis, job.id)),
    }


def _title(job: Job) -> str:
    percent = f"{down_percent(job.progress)}{THIN}% · " if job.total and job.state is not State.PLANNING else ""
    return f"{percent}{name_of(job)} · {STATES[job.state].label}"


def _state(request: web.Request) -> State | None:
    wanted = request.query.get("state")
    try:
        return State(wanted) if wanted else None
    except ValueError:
        raise web.HTTPNotFound from None


def _portals(request: web.Request) -> frozenset[str] | None:
    """Return the portals to list: those that the caller may see, or the one of them that is asked for."""
    visible, wanted = caller(request).portals, request.query.get("portal")
    if not wanted:
        return visible
    return frozenset({wanted}) & (visible if visible is not None else {wanted})
