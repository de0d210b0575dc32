"""A new job in two steps: read and count a list, then queue it once the user has typed the number of its contacts."""

from collections.abc import Sequence

from aiohttp import web

from jobs.accept.submission import Approval, check_size, submission_for
from jobs.accept.submit import submit
from jobs.intake.tally import BadLine, WayOut
from jobs.view.job import read_job
from jobs.words.errors import BadSubmission, TooManyContacts, UnknownJob
from jobs.words.labels import check_label
from jobs.words.priority import Priority
from web.api.submission import INTAKES
from web.http.callers import caller, check_visible, visible_portal, visible_portals
from web.http.context import REDIS, SETTINGS
from web.page.admission import form_value
from web.page.drafts import Draft, UnknownDraft, discard_draft, keep_draft, read_draft, read_ids
from web.page.render import page, see_other
from web.page.text import digits, number, plural
from web.page.upload import Upload, read_upload

_NOTHING_GIVEN = {
    "portal": "",
    "priority": Priority.NORMAL,
    "label": "",
    "column": "",
    "skip_invalid": "",
    "multiline": "",
    "plan": "",
}


async def show_form(request: web.Request) -> web.Response:
    """Show the empty form."""
    return _form(request)


async def take_list(request: web.Request) -> web.Response:
    """Read the list, keep it, and show what is in it."""
    async with request.app[INTAKES].place():
        # A client that sends a hundred megabytes should not learn only afterwards that they cannot be stored.
        await request.app[REDIS].ping()
        return await _take(request, await read_upload(request))


async def _take(request: web.Request, upload: Upload) -> web.Response:
    given = upload.fields
    portal = visible_portal(request, given["portal"])
    try:
        label, priority = check_label(given["label"]), Priority(given["priority"] or Priority.NORMAL)
    except BadSubmission as error:
        return _form(request, upload, status=422, error=f"{error}")
    except ValueError:
        raise web.HTTPBadRequest from None
    if upload.intake is None:
        return _refuse_list(request, upload)
    try:
        check_size(portal, len(upload.intake.ids))
    except TooManyContacts as error:
        return _form(request, upload, status=422, error=f"{error}. Nothing was queued.")
    if refusal := _too_many(request, len(upload.intake.ids)):
        return _form(request, upload, status=403, error=refusal)
    draft = await keep_draft(
        request.app[REDIS],
        upload.intake,
        portal=portal,
        label=label,
        priority=priority,
        plan=given["plan"] == "yes",
        owner=caller(request).name,
    )
    return see_other(f"/new/{draft.id}")


async def show_draft(request: web.Request) -> web.Response:
    """Show what a list holds, and ask for its number."""
    try:
        draft = await _draft(request)
    except UnknownDraft:
        return await _already_queued(request)
    return page(request, "confirm.html", draft=draft, error="")


async def confirm(request: web.Request) -> web.Response:
    """Queue the list if its number was typed, plan it, or forget it."""
    redis, wanted = request.app[REDIS], form_value(request, "do")
    try:
        draft = await _draft(request)
        if wanted == "discard":
            await discard_draft(redis, draft.id)
            return see_other("/new")
        # A plan deletes nothing: the number is typed when the plan is approved.
        plan = draft.plan or wanted == "plan"
        if not plan and digits(form_value(request, "count")) != str(draft.total):
            error = f"That is not {number(draft.total)}. Nothing was queued."
            return page(request, "confirm.html", status=422, draft=draft, error=error)
        if refusal := _too_many(request, draft.total):
            return page(request, "confirm.html", status=403, draft=draft, error=refusal)
        portal = visible_portal(request, draft.portal)
        ids = await read_ids(redis, draft)
    except UnknownDraft:
        return await _already_queued(request)
    accepted = await submit(
        redis,
        submission_for(
            portal,
            ids,
            by=caller(request).name,
            approval=Approval.NEEDED if draft.needs_approval else Approval.BY_SIZE,
            plan=plan,
            job_id=draft.id,
            label=draft.label,
            duplicates=draft.report.duplicates,
            priority=draft.priority,
            undo=True if form_value(request, "undo") == "yes" else None,
        ),
    )
    await discard_draft(redis, draft.id)
    did = "planning" if plan else "submitted"
    return _to_job(accepted.job_id, did if accepted.created else "submitted-before")


async def _draft(request: web.Request) -> Draft:
    return await read_draft(request.app[REDIS], request.match_info["draft_id"], owner=caller(request).name)


async def _already_queued(request: web.Request) -> web.Response:
    """Show the job, if there is one: the second of two quick clicks comes here."""
    try:
        job = check_visible(request, await read_job(request.app[REDIS], request.match_info["draft_id"]))
    except UnknownJob:
        error = "That list is no longer kept and was not queued. Read it again."
        return _form(request, status=404, error=error)
    return _to_job(job.id, "submitted-before")


def _to_job(job_id: str, did: str) -> web.Response:
    return see_other(f"/jobs/{job_id}?did={did}")


def _too_many(request: web.Request, total: int) -> str:
    """Explain why the caller may not submit so many contacts; empty if it may."""
    most = caller(request).max_contacts
    if most is None or total <= most:
        return ""
    return (
        f"The list has {plural(total, 'contact')}, and this key may submit at most {number(most)}. Nothing was queued."
    )


def _refuse_list(request: web.Request, upload: Upload) -> web.Response:
    error = upload.error
    message = error.message if error else "there is no list"
    bad_lines = error.bad_lines if error else ()
    return _form(
        request,
        upload,
        status=422,
        error=f"{message[:1].upper()}{message[1:]}. Nothing was queued.",
        way_out=error.way_out if error else None,
        bad_lines=bad_lines,
        more_bad=error.total_bad - len(bad_lines) if error else 0,
    )


def _form(
    request: web.Request,
    upload: Upload | None = None,
    *,
    status: int = 200,
    error: str = "",
    way_out: WayOut | None = None,
    bad_lines: Sequence[BadLine] = (),
    more_bad: int = 0,
) -> web.Response:
    return page(
        request,
        "new.html",
        status=status,
        error=error,
        way_out=way_out,
        bad_lines=bad_lines,
        more_bad=more_bad,
        given=upload.fields if upload else _NOTHING_GIVEN,
        portals=[portal.name for portal in visible_portals(request)],
        plan_required=all(portal.plan_required for portal in visible_portals(request)),
        max_body_mb=request.app[SETTINGS].api.max_body_mb,
    )
