"""Why is it slow? The one thing that holds a job back now, what its portal answered last, and when it may be done."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from redis.asyncio import Redis

from config.settings import Settings
from jobs.store import keys
from jobs.store.times import unix_s
from jobs.view.history import Sample, read_history
from jobs.view.job import Job, read_job
from jobs.view.portal import PortalView, read_portal
from jobs.view.waiting import MOVING
from jobs.words.outcomes import Outcome
from jobs.words.reasons import PORTAL_FAULTS, advice_on
from jobs.words.states import TERMINAL, State

#: Below this share of the portal's turns, it is the other jobs that hold a job back.
_SMALL_SHARE = 0.5

#: Where calls in flight and rate let the same through, more calls in flight bring nothing.
_CLEARLY = 1.05

#: So many jobs of one portal are looked at to work out a share; with more of them, it hardly matters how many more.
_MOST_NEIGHBOURS = 200

#: How much wider than the measured paces a range is told: nothing says that the future stays within them.
_CAUTION = 1.1


class Eta(msgspec.Struct, frozen=True):
    """When a job may be done, in seconds from now: the paces of the last minutes and of the whole run, carried on."""

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
    concurrency: calls in flight, all of which wait for the portal. lanes: fewer lanes drive than may. fair_share: other
    jobs of the portal. push_back: the portal asked for a rest. pause, approval, portal_fault, login_guard, no_worker,
    backoff, starting: as state_reason says.
    """
    explanation: str
    """The same in plain words, with the numbers."""
    until: str | None
    """When that is over by itself; None where that is not known."""
    share: float | None
    """The job's share of the portal's turns, 0 to 1; None while it has none."""
    contacts_per_second: float
    eta: Eta | None
    """None where it cannot be said, as when nothing moves."""
    portal: PortalView | None
    """The portal's limits and its last answers; None where this configuration does not have it."""


async def explain(redis: Redis, settings: Settings, job_id: str) -> Why:
    """Say what holds a job back now.

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
    moves = job.state in {State.RUNNING, State.CANCELLING} and job.state_reason in MOVING
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
    """The constraint that binds: its word, its explanation and its end."""

    word: str | None
    explanation: str
    until: str | None = None


_BY_REASON = {
    "operator": "pause",
    "failure_threshold": "pause",
    "approval": "approval",
    "no_worker": "no_worker",
    "portal_not_configured": "no_worker",
    "starting": "starting",
    "backoff": "backoff",
    "fair_share": "fair_share",
    "push_back": "push_back",
    **dict.fromkeys(PORTAL_FAULTS, "portal_fault"),
}


def _what_binds(job: Job, portal: PortalView | None, share: float | None) -> _Bound:
    """Find the constraint: what stops the job comes first, then what slows it down most."""
    if job.state in TERMINAL:
        return _Bound(None, f"it has ended: {job.state}" + (f"; {job.last_error}" if job.last_error else ""))
    until = portal.push_back_until if portal else None
    reason = job.state_reason
    rests = portal is not None and reason == portal.push_back_reason
    if reason and (reason not in MOVING or job.state is State.QUEUED) and reason != "rate_limit":
        return _Bound(_BY_REASON.get(reason, reason), advice_on(reason, job.id), until if rests else None)
    if portal is None:
        return _Bound("starting" if reason is None else reason, f"portal {job.portal} is not in this configuration")
    if until and portal.push_back_reason == "login_guard":
        return _Bound("login_guard", f"{advice_on('login_guard', job.id)} after {until}", until)
    if until:
        return _Bound("push_back", f"{portal.name} asked for a rest: nobody calls it before {until}", until)
    if share is not None and share < _SMALL_SHARE:
        others = portal.active_jobs - 1
        return _Bound(
            "fair_share",
            f"{others} other {'job' if others == 1 else 'jobs'} of {portal.name} "
            f"{'wants its turn' if others == 1 else 'want their turns'} as well: "
            f"this one has about {share:.0%} of them; a higher priority gives it more",
        )
    return _slowest_limit(job, portal)


def _slowest_limit(job: Job, portal: PortalView) -> _Bound:
    """Compare what the rate lets through with what the calls in flight can carry."""
    answered_s = [answer.took_ms / 1000 for answer in portal.last_answers if answer.http_status is not None]
    mean_s = sum(answered_s) / len(answered_s) if answered_s else 0.0
    rate = portal.learned_requests_per_second
    many_left = job.counts[Outcome.PENDING] > 2 * portal.max_concurrency * portal.batch_size
    if rate * mean_s > portal.max_concurrency * _CLEARLY:
        return _Bound(
            "concurrency",
            f"{portal.name} takes {mean_s:.2f} s per call, and no more than {_calls(portal.max_concurrency)} may be in "
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
            f"{portal.requests_per_second:g}; the rate climbs again by itself",
        )
    return _Bound(
        "rate",
        f"requests_per_second of {portal.name} is {portal.requests_per_second:g}: raise it if the portal can bear more",
    )


def eta_range(pending: int, contacts_per_second: float, samples: Sequence[Sample]) -> Eta | None:
    """Carry the paces of the past on, as a range.

    Args:
        pending: contact IDs that are not decided yet.
        contacts_per_second: the present pace.
        samples: the job over time, oldest first.

    Returns:
        The range; None where there is no pace to speak of.
    """
    paces = [contacts_per_second]
    if len(samples) > 1:
        last = samples[-1]
        # The whole run, its second half, its last quarter, …: what was typical for longer and shorter times.
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
    active = [one.decode() for one in await redis.zrange(f"{keys.portal(job.portal)}:active", 0, _MOST_NEIGHBOURS - 1)]
    if job.id not in active:
        return None
    pipe = redis.pipeline(transaction=False)
    for job_id in active:
        pipe.execute_command("HGET", keys.job(job_id), "stride")
    weights = {job_id: 1 / float(stride or 1) for job_id, stride in zip(active, await pipe.execute(), strict=True)}
    return round(weights[job.id] / sum(weights.values()), 4)


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
