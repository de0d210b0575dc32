"""The ledger of a job: its first lines as a table, all of them as a file."""

from aiohttp import web

from jobs.ledger.export import Format
from jobs.ledger.rows import Line, make_line, read_rows
from jobs.view.job import Job, read_job
from jobs.words.outcomes import Code, Outcome
from web.api.results import check_ledger, job_results, stream_results
from web.http.callers import check_visible
from web.http.context import REDIS
from web.page.render import page

#: Lines of the table.
_SHOWN = 100
#: Segments (65,536 contact IDs each) that are looked through for them: a second of work at most.
_SEGMENTS = 64


async def show_ledger(request: web.Request) -> web.StreamResponse:
    """Show the first lines with an outcome; with `format`, send all of them, or the departures, as a file."""
    if "against_plan" in request.query:
        return await job_results(request)
    job_id = request.match_info["job_id"]
    outcome = _outcome(request)
    form = request.query.get("format")
    if form is not None:
        if form not in set(Format):
            raise web.HTTPNotFound
        return await stream_results(request, job_id, Format(form), outcome)
    job = check_visible(request, await read_job(request.app[REDIS], job_id))
    await check_ledger(request.app[REDIS], job)
    return page(
        request,
        "ledger.html",
        job=job,
        outcome=outcome,
        count=job.counts[outcome] if outcome else job.total,
        lines=await _first_lines(request, job, outcome),
    )


async def _first_lines(request: web.Request, job: Job, outcome: Outcome | None) -> list[Line]:
    """Look for the first lines, as long as there may be more of them."""
    lines: list[Line] = []
    wanted = min(_SHOWN, job.counts[outcome] if outcome else job.total)
    if not wanted:
        return lines
    looked = 0
    async for rows in read_rows(request.app[REDIS], job.id):
        for contact_id, fact in zip(rows.ids, rows.facts(), strict=True):
            if outcome is None or _OUTCOME_OF[fact[0]] is outcome:
                lines.append(make_line(contact_id, fact))
                if len(lines) == wanted:
                    return lines
        looked += 1
        if looked == _SEGMENTS:
            break
    return lines


_OUTCOME_OF = {code.value: code.outcome for code in Code}


def _outcome(request: web.Request) -> Outcome | None:
    word = request.query.get("outcome")
    try:
        return Outcome(word) if word else None
    except ValueError:
        raise web.HTTPNotFound from None
