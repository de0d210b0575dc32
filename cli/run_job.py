"""Driving a job to its end in this process: what `crm-sweep run` does once it has a list or a filter, and a server."""

import asyncio
import contextlib
import time

import msgspec
from arq.connections import ArqRedis

from cli.context import operator, redis_of
from cli.embedded import EmbeddedServer
from cli.errors import Interrupted, JobStopped
from cli.interrupts import interruptible
from cli.keeper import on_server
from cli.output import note, plural
from cli.progress import display, follow
from cli.summary import standing, standstill
from config.settings import Portal, Settings
from jobs.accept.approval import approval_terms
from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.lanes.lease import take_over
from jobs.lanes.wake import wake_lanes
from jobs.ledger.retention import forget_job
from jobs.steering.control import control
from jobs.view.actions import rest_in_words
from jobs.view.job import Job, read_job, with_sample
from jobs.webhooks.outbox import count_waiting, is_busy
from jobs.webhooks.wake import wake_couriers
from jobs.words.errors import IllegalMove
from jobs.words.reasons import NEEDS_A_PERSON, StateReason
from jobs.words.states import Event, State
from worker.fleet import RESCUE_SETTLE_S
from worker.main import working

#: A portal that has not answered once in this time was given with a wrong address, or is away: seconds.
FIRST_ANSWER_S = 12.0

#: What lets a job go on that has stopped: there is no worker that could be told to `resume`.
_GO_ON = "start the same command again"

#: How long the end of a run waits for the receivers of webhooks: a little longer than one try, seconds.
WEBHOOKS_S = 12.0

#: Our own server is up again after this at the latest, or for good away: seconds.
RESTART_S = 150.0


async def until_stopped(
    server: EmbeddedServer, settings: Settings, portal: Portal, submission: Submission, digest: str | None = None
) -> Job:
    """Drive a job until it ends, waits for the approval of its plan, or is stopped; see `_to_its_end`."""
    async with interruptible() as stop:
        return await on_server(server, _to_its_end(settings, portal, submission, stop, digest), stop)


async def _to_its_end(
    settings: Settings, portal: Portal, submission: Submission, stop: asyncio.Event, digest: str | None
) -> Job:
    """Drive a job to its end, from wherever it was left; or until its plan waits for approval, or the event is set.

    Args:
        settings: the configuration.
        portal: the portal's settings.
        submission: the request.
        stop: set when the person stops it.
        digest: of the plan that the person has approved; None as long as there is none.

    Raises:
        Interrupted: the person stopped it; the batches in flight have been recorded.
        JobStopped: the portal, or too many failures, stopped it.
    """
    async with redis_of(settings, patience_s=RESTART_S) as redis:
        job = await _take_up(redis, portal, submission, digest)
        if _has_stopped(job):
            return await with_sample(redis, job)
        # Whoever starts this says that the portal is to be tried, whichever list met its fault or its push-back.
        with contextlib.suppress(IllegalMove):
            resumed = await control(redis, job.id, Event.RESUME, by=operator())
            if resumed.rest_until_ms:
                note(f"{rest_in_words(resumed.rest_until_ms)}; one careful call goes first")
        # The state directory is ours alone, so whoever drove the portal before is dead.
        await take_over(redis, portal.name, RESCUE_SETTLE_S)
        async with working(settings):
            await wake_lanes(redis, portal.name, portal.max_concurrency)
            last = await _watch(redis, job, stop)
            await _tell_webhooks(redis, settings, stop)
        job = await read_job(redis, job.id)
        if _has_stopped(job):
            return await with_sample(redis, job)
        if stop.is_set():
            raise Interrupted(
                f"{standstill(job, 'interrupted')}; the same command carries on, without asking again; to give the job "
                "up, remove the state directory"
            )
        raise _stopped(job, last)


async def _tell_webhooks(redis: ArqRedis, settings: Settings, stop: asyncio.Event) -> None:
    """Let the worker send the events that are due, as nobody else would; receivers that are away are not waited for."""
    names = [webhook.name for webhook in settings.webhooks]
    until_s = time.monotonic() + WEBHOOKS_S
    while names and await is_busy(redis, names) and not stop.is_set() and time.monotonic() < until_s:
        await wake_couriers(redis, names)
        await asyncio.sleep(0.2)
    if names and (left := await count_waiting(redis, names)):
        note(f"{plural(left, 'event')} could not be delivered to webhooks; the next run here tries again, for a day")


def _has_stopped(job: Job) -> bool:
    """Check whether nothing is left to do in this process: the job has ended, or its plan waits for approval."""
    return job.ended or job.state is State.AWAITING_APPROVAL


async def _take_up(redis: ArqRedis, portal: Portal, submission: Submission, digest: str | None) -> Job:
    """Submit the job, or find it as it was left, and approve it if the person has agreed to it."""
    accepted = await submit(redis, submission)
    job = await read_job(redis, accepted.job_id)
    if job.state_reason == StateReason.PLAN_EXPIRED:
        note(f"the plan of job {job.id} has expired; a new one is made")
        await control(redis, job.id, Event.CANCEL, by=operator())
        await forget_job(redis, job.id)
        accepted = await submit(redis, submission)
        job = await read_job(redis, accepted.job_id)
    if job.state is State.AWAITING_APPROVAL and (digest or not job.plan):
        # Nobody else can reach this ledger, so whoever has agreed to the list or its plan also approves it.
        await control(redis, job.id, Event.APPROVE, by=operator(), terms=approval_terms(portal, digest))
        job = await read_job(redis, job.id)
    elif job.state is not State.AWAITING_APPROVAL and not accepted.created:
        note(standstill(job, f"{job.state}; nothing left to do" if job.ended else "carrying on"))
        if job.ended and submission.selection:
            note(f"it ended at {job.finished_at}, and nothing was read now; to select again, name another --state-dir")
    return job


async def _watch(redis: ArqRedis, job: Job, stop: asyncio.Event) -> Job | None:
    """Show the job until it stops or the event is set; return it as it was last seen, None if the event came first."""
    patience = _Patience(job)
    with display(_GO_ON) as show:

        def show_but_the_end(now: Job) -> None:
            # Why it stops is said in the end, and once.
            if now.ended or not (patience(now) or now.state is State.PAUSING):
                show(now)

        watch = asyncio.create_task(follow(redis, job.id, show_but_the_end, until=patience, patience_s=None))
        interrupt = asyncio.create_task(stop.wait())
        await asyncio.wait({watch, interrupt}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        note("stopping: the batches in flight are waited for (Ctrl-C once more does not wait)")
    interrupt.cancel()
    watch.cancel()
    return watch.result() if watch.done() else None


def _stopped(job: Job, last: Job | None) -> JobStopped:
    """Return the error that says why a job has stopped and how it goes on.

    Args:
        job: the job, now that the worker has left.
        last: the job as it was last seen while the worker drove it.
    """
    if last and job.state is not State.PAUSED:
        # Given up, or held by a fault; now that the worker has left, its absence would be the reason.
        reason = last.state_reason if last.state_reason in NEEDS_A_PERSON else StateReason.PORTAL_UNREACHABLE
        job = msgspec.structs.replace(job, state_reason=reason, last_error=last.last_error)
    if job.state_reason == StateReason.PORTAL_UNREACHABLE:
        return JobStopped(f"{standstill(job, 'stopped')}; {standing(job)}; the same command carries on", job)
    word = "stopped" if job.state is not State.PAUSED else job.state
    return JobStopped(f"{standstill(job, word)}; {standing(job, _GO_ON)}", job)


class _Patience:
    """Says when waiting is over: the job has ended, a person has to act, or the portal has not answered once.

    What passes by itself, as a rest that the portal asked for, is waited for.
    """

    def __init__(self, before: Job) -> None:
        self._sent_before = before.requests.sent
        self._until_s = time.monotonic() + FIRST_ANSWER_S
        self._unreachable = False

    def __call__(self, job: Job) -> bool:
        if job.ended or job.state in {State.PAUSED, State.AWAITING_APPROVAL}:
            return True
        if job.state is not State.PAUSING and job.state_reason in NEEDS_A_PERSON:
            return True  # another job of the state directory has met the fault, which holds this one as well
        self._unreachable = job.requests.sent == self._sent_before and (
            self._unreachable or job.state_reason == StateReason.PORTAL_UNREACHABLE
        )
        return self._unreachable and time.monotonic() > self._until_s
