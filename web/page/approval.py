"""Approving a job: with a plan, a user types the number of contacts, and approves the digest that was shown to them."""

from aiohttp import web

from jobs.steering.steer import steer_job
from jobs.view.job import Job, read_job
from jobs.words.errors import NotApproved, PlanChanged
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from jobs.words.verdicts import Verdict
from web.http.callers import caller
from web.http.context import REDIS, SETTINGS
from web.http.problems import explain
from web.page.admission import form_value
from web.page.job_screens import job_page
from web.page.text import digits, number
from web.page.words import FORBIDDEN, PLAN_EXPIRED


async def approve(request: web.Request, job: Job) -> web.Response | None:
    """Approve a job: the plan that the form shows, or its size.

    Returns:
        The job's screen with what is in the way; None if it is approved.

    Raises:
        IllegalMove: its state does not allow it.
    """
    redis, digest = request.app[REDIS], form_value(request, "digest")
    # With the digest of another plan, the approval is refused below, and the answer says so.
    if job.plan and job.plan.digest.startswith(digest.lower()) and job.state is State.AWAITING_APPROVAL:
        deletable = job.plan.counts[Verdict.DELETABLE]
        # Those who count what they have selected mean the same plan: the others of it are left alone.
        if digits(form_value(request, "count")) not in {str(deletable), str(job.total)}:
            return await job_page(
                request, job, status=422, error=f"That is not {number(deletable)}. Nothing was approved."
            )
    try:
        await steer_job(
            redis, request.app[SETTINGS], job.id, Event.APPROVE, by=caller(request).name, digest=digest or None
        )
    except NotApproved as error:
        refusal, now = explain(error), await read_job(redis, job.id)
        status = refusal.kind.status if refusal else 409
        return await job_page(request, now, status=status, error=f"{_told(error, now)} Nothing was approved.")
    return None


def _told(error: NotApproved, job: Job) -> str:
    if isinstance(error, PlanChanged) and job.state_reason == StateReason.PLAN_EXPIRED:
        return PLAN_EXPIRED
    return FORBIDDEN[type(error)]
