"""Why a job is slow: the one thing that holds it back now, its portal's last answers, and when it may be done."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from redis.asyncio import Redis

from config.settings import Settings
from jobs.store import keys
from jobs.store.replicas import missing_replicas
from jobs.store.times import clock, unix_s
from jobs.view.history import Sample, read_history
from jobs.view.job import Job, read_job
from jobs.view.portal import PortalView, read_portal
from jobs.words.outcomes import Outcome
from jobs.words.reasons import PORTAL_FAULTS, StateReason, advice_on, advice_with_error, is_moving
from jobs.words.states import TERMINAL, State

#: Below this share of the portal's turns, it is the other jobs that hold a job back.
_SMALL_SHARE = 0.5

#: By how much the rate must exceed what the calls in flight can carry; where they are equal, more calls bring nothing.
_CLEARLY = 1.05

#: How many jobs of one portal are read at most to work out a share; beyond that, more of them hardly matter.
_MOST_NEIGHBOURS = 200

#: How much wider than the measured paces the range is: the future need not stay within them.
_CAUTION = 1.1


class Eta(msgspec.Struct, frozen=True):
    """When a job may be done, in seconds from now, if it goes on as in the last minutes or as in the whole run."""

    earliest_s: float
    latest_s: float


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """What holds a job back now."""

    id: str
    state: State
    state_reason: str | None
    constraint: str | None
    """The one thing that binds now, as a stable word; None when the job has ended.

    rate: the portal's ceiling. learned_rate: the portal pushed back, and is driven more gently than its ceiling.
    concurrency: calls in flight, all of which are waiting for the portal. lanes: fewer lanes drive the portal than
    could. fair_share: other jobs of the portal. replicas: too few replicas of Redis keep up (redis.min_replicas).
    push_back: the portal asked for a rest. pause, approval, portal_fault, canary, login_guard, no_worker, backoff,
    starting, stopped, cooling_off, outside_window, daily_cap, portal_changed: as state_reason says.
    """
    explanation: str
    """The same in plain words, with the numbers."""
    until: str | None
    """When that ends on its own; None where that is not known."""
    share: float | None
    """The job's share of the portal's turns, 0 to 1; None while it has none."""
    contacts_per_second: float
    eta: Eta | None
    """None where that is not known, such as when nothing moves."""
    portal: PortalView | None
    """The portal's limits and its last answers; None where it is not in this configuration."""


async def explain(redis: Redis, settings: Settings, job_id: str) -> Why:
    """Find out what holds a job back now.

    Args:
        redis: the connection.
        settings: the configured portals.
        job_id: the job's ID.

    Raises:
        UnknownJob: no such job.
    """
    job = await read_job(redis, job_id)
    configured = settings.portals.get(job.portal)
    portal = await read_portal(redis, configured) if configured else None
    share = None if job.ended else await _share(redis, job)
    bound = _what_binds(job, portal, share)
    waits = is_moving(job.state_reason) or job.state_reason == StateReason.STARTING
    if waits and not job.ended and (missing := await missing_replicas(redis)):
        bound = _Bound("replicas", missing)
    moves = job.state in {State.RUNNING, State.CANCELLING} and is_moving(job.state_reason)
    eta = eta_range(job.counts[Outcome.PENDING], job.contacts_per_second, await read_history(redis, job_id))
    return Why(
        id=job.id,
        state=job.state,
        state_reason=job.state_reason,
        constraint=bound.word,
        explanation=bound.explanation,
        until=bound.until,
        share=share,
        contacts_per_second=job.contacts_per_second,
        eta=eta if moves else None,
        portal=portal,
    )


@dataclass(frozen=True, slots=True)
class _Bound:
    """The constraint that binds: its word, its explanation and when it ends."""

    word: str | None
    explanation: str
    until: str | None = None


#: The constraint for each reason that has another word.
_BY_REASON: dict[str, str] = {
    StateReason.OPERATOR: "pause",
    StateReason.FAILURE_THRESHOLD: "pause",
    StateReason.PORTAL_NOT_CONFIGURED: "no_worker",
    **dict.fromkeys(PORTAL_FAULTS, "portal_fault"),
}


#: What can hold all deletions of a portal.
_GATES = {StateReason.STOPPED, StateReason.OUTSIDE_WINDOW, StateReason.DAILY_CAP}


def _what_binds(job: Job, portal: PortalView | None, share: float | None) -> _Bound:
    """Find the constraint: what stops the job comes first, then what slows it down most."""
    if job.state in TERMINAL:
        return _Bound(None, f"it has ended: {job.state}" + (f"; {job.last_error}" if job.last_error else ""))
    reason = job.state_reason
    if portal and reason in _GATES and portal.held_by == reason:
        return _Bound(reason, _gate(job, portal), portal.held_until)
    if reason and (not is_moving(reason) or job.state is State.QUEUED) and reason != StateReason.RATE_LIMIT:
        explanation = advice_with_error(reason, job.id, job.last_error)
        if reason == StateReason.CANARY and job.canary:
            departed, contacts = job.canary.departed, job.canary.contacts
            explanation = f"{departed} of {contacts} contacts departed from what was expected: {explanation}"
        return _Bound(_BY_REASON.get(reason, reason), explanation, job.waits_until)
    if portal is None:
        return _Bound("starting" if reason is None else reason, f"portal {job.portal} is not in this configuration")
    until = portal.push_back_until
    if until and portal.push_back_reason == StateReason.LOGIN_GUARD:
        return _Bound("login_guard", f"{advice_on(StateReason.LOGIN_GUARD, job.id)} after {until}", until)
    if until:
        return _Bound("push_back", f"{portal.name} asked for a rest: no worker calls it before {until}", until)
    if share is not None and share < _SMALL_SHARE:
        others = portal.active_jobs - 1
        return _Bound(
            "fair_share",
            f"{portal.name} has {others} other {'job' if others == 1 else 'jobs'} to work on: this one gets about "
            f"{share:.0%} of the turns; a higher priority gives it more",
        )
    return _slowest_limit(job, portal)


def _gate(job: Job, portal: PortalView) -> str:
    """Say what holds all deletions of the portal, with names and numbers."""
    stop = portal.stopped
    if stop:
        where, how = (f"at {stop.portal}", f" --portal {stop.portal}") if stop.portal else ("at all portals", "")
        return f"{stop.by} stopped all deletions {where} at {clock(stop.at)}; to let them go on: `crm-sweep start{how}`"
    if portal.held_by == StateReason.DAILY_CAP:
        return (
            f"{portal.sent_today:,} contacts have been sent to {portal.name} today, and its max_contacts_per_day is "
            f"{portal.max_contacts_per_day:,}; the job continues tomorrow"
        )
    return advice_on(StateReason.OUTSIDE_WINDOW, job.id)


def _slowest_limit(job: Job, portal: PortalView) -> _Bound:
    """Compare what the rate allows with what the calls in flight can carry."""
    answered_s = [answer.took_ms / 1000 for answer in portal.last_answers if answer.http_status is not None]
    mean_s = sum(answered_s) / len(answered_s) if answered_s else 0.0
    rate = portal.learned_requests_per_second
    many_left = job.counts[Outcome.PENDING] > 2 * portal.max_concurrency * portal.batch_size
    if rate * mean_s > portal.max_concurrency * _CLEARLY:
        return _Bound(
            "concurrency",
            f"{portal.name} takes {mean_s:.2f} s per call, and no more than {_calls(portal.max_concurrency)} can be in "
            "flight: raise max_concurrency if the portal can bear it",
        )
    if many_left and portal.lanes < min(portal.max_concurrency, rate * mean_s):
        return _Bound(
            "lanes",
            f"{portal.lanes} of {portal.max_concurrency} lanes {'drives' if portal.lanes == 1 else 'drive'} "
            f"{portal.name}: start more workers if that lasts",
        )
    if rate < portal.requests_per_second:
        return _Bound(
            "learned_rate",
            f"{portal.name} pushed back, so it is driven with {rate:.2f} calls/s instead of its ceiling of "
            f"{portal.requests_per_second:g}; the rate climbs again on its own",
        )
    return _Bound(
        "rate",
        f"requests_per_second of {portal.name} is {portal.requests_per_second:g}: raise it if the portal can bear more",
    )


def eta_range(pending: int, contacts_per_second: float, samples: Sequence[Sample]) -> Eta | None:
    """Extrapolate the paces of the past, as a range.

    Args:
        pending: contact IDs that are not decided yet.
        contacts_per_second: the current pace.
        samples: the job over time, oldest first.

    Returns:
        The range; None where there is no pace yet.
    """
    paces = [contacts_per_second]
    if len(samples) > 1:
        last = samples[-1]
        # The whole run, its second half, its last quarter, …: what was typical over longer and shorter times.
        at = 0
        while at < len(samples) - 1:
            seconds = (unix_s(last.at) - unix_s(samples[at].at)) or 0.001
            paces.append((last.decided - samples[at].decided) / seconds)
            at += max(1, (len(samples) - 1 - at) // 2)
    paces = [pace for pace in paces if pace > 0]
    if not paces:
        return None
    return Eta(round(pending / max(paces) / _CAUTION, 1), round(pending / min(paces) * _CAUTION, 1))


async def _share(redis: Redis, job: Job) -> float | None:
    """Work out a job's share of the turns from the strides of all jobs that want them now."""
    active = [one.decode() for one in await redis.zrange(keys.active(job.portal), 0, _MOST_NEIGHBOURS - 1)]
    if job.id not in active:
        return None
    pipe = redis.pipeline(transaction=False)
    for job_id in active:
        pipe.execute_command("HGET", keys.job(job_id), "stride")
    weights = {job_id: 1 / float(stride or 1) for job_id, stride in zip(active, await pipe.execute(), strict=True)}
    return round(weights[job.id] / sum(weights.values()), 4)


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
