"""What became of a run with hosts: ledgers, promises and calls, each judged by what really happened."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from chaos.evidence import Evidence
from chaos.hosts import ledgers
from chaos.hosts.calls import Arrival, Calls, judge_resumption, judge_silence
from chaos.hosts.cast import Cast
from chaos.hosts.cluster import PORT
from chaos.hosts.network import Network
from chaos.hosts.plan import HostsPlan
from chaos.hosts.promotions import Promotion
from chaos.story import leftovers
from chaos.verdict import Ledger, Verdict, judge

#: Ledgers that the command line reads as well; each takes a process.
_READ_TWICE = 3


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a run went, before it is judged.

    Attributes:
        started_s, calm_s, ended_s: when misfortunes began, when they ended, and when all jobs had ended, Unix times.
        rules: the portal's own faults, with how often each struck.
        stuck: which jobs did not end, if any.
    """

    started_s: float
    calm_s: float
    ended_s: float
    rules: list[dict[str, Any]]
    stuck: list[str]


@dataclass(kw_only=True)
class HostsOutcome:
    """The result of a run with hosts.

    Attributes:
        problems: what is wrong, besides the verdict's disagreements.
        verdict: ledgers against the portal's record, contact by contact.
        promotions: every fail-over.
        calls: who called when, after fail-overs and while cut off.
        misfortunes: how often each happened.
        recovered_s: how long it took each time until the servers had found together again.
        rules: the portal's own faults.
        started_s: when misfortunes began, Unix time.
        facts: numbers for the report.
    """

    problems: list[str]
    verdict: Verdict
    promotions: list[Promotion]
    calls: Calls
    misfortunes: dict[str, int]
    recovered_s: list[float]
    rules: list[dict[str, Any]]
    started_s: float
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def agreed(self) -> bool:
        """Whether everything was as it should be."""
        return not self.problems and not self.verdict.disagreements


async def judged(cast: Cast, plan: HostsPlan, network: Network, course: Course) -> HostsOutcome:
    """Compare everything; nothing may go on any more.

    Args:
        cast: who took part.
        plan: what the run consisted of.
        network: has the hosts.
        course: how it went.
    """
    promises = cast.clients.promises.values()
    for promise in promises:
        await cast.clients.look(promise)
    found, problems = await _ledgers(cast)
    evidence = await Evidence.gather(cast.portal, cast.troubles.disturbances())
    lists = {promise.job_id: promise.submission.ids for promise in promises if promise.job_id in found}
    cancelled = {promise.job_id for promise in promises if promise.asked_to_cancel}
    calls = await _calls(cast, plan, network)
    return HostsOutcome(
        problems=[
            *course.stuck,
            *problems,
            *cast.clients.problems,
            *cast.failovers.problems,
            *await _left_behind(cast, network),
            *calls.problems,
        ],
        verdict=judge(lists, found, evidence, cancelled),
        promotions=cast.promotions.all,
        calls=calls,
        misfortunes=dict(cast.troubles.counts),
        recovered_s=cast.failovers.recovered_s,
        rules=course.rules,
        started_s=course.started_s,
        facts={
            "seconds with misfortunes": course.calm_s - course.started_s,
            "seconds from then until all jobs had ended": course.ended_s - course.calm_s,
            "calls": evidence.summary["calls"],
            "claims that too few replicas had in time, so that nothing was sent": _unreplicated(
                cast.configuration.parent, plan
            ),
            "jobs accepted": sum(promise.accepted_s is not None for promise in promises),
            "plans approved": sum(promise.approved_s is not None for promise in promises),
            "jobs cancelled": sum(promise.cancelled_s is not None for promise in promises),
            "approvals with a wrong digest, refused": cast.clients.refused_approvals,
            "answers of the API": cast.clients.answers,
            "calls of the API without an answer, or with 503": cast.clients.unanswered,
        },
    )


async def _ledgers(cast: Cast) -> tuple[dict[str, Ledger], list[str]]:
    """Read every ledger over the API, and some with the command line as well."""
    found, problems = {}, []
    for number, promise in enumerate(cast.clients.promises.values()):
        if promise.is_lost:  # a problem of its own
            continue
        if promise.accepted_s is None or promise.job is None:
            problems.append(f"job {promise.job_id} was never accepted, or never seen")
            continue
        text = await ledgers.from_api(cast.session, promise.job_id)
        found[promise.job_id] = ledgers.read(text)
        if number < _READ_TWICE and await ledgers.from_command_line(cast.configuration, promise.job_id) != text:
            problems.append(f"job {promise.job_id}: the command line shows another ledger than the API")
    return found, problems


async def _left_behind(cast: Cast, network: Network) -> list[str]:
    async with Redis(host=network.address(await cast.cluster.primary()), port=PORT) as redis:
        return await leftovers(redis, list(cast.clients.promises))


async def _calls(cast: Cast, plan: HostsPlan, network: Network) -> Calls:
    arrivals = [
        Arrival(call["kind"], network.host_at(call["address"]), call["at"]) for call in await cast.portal.calls()
    ]
    found = Calls()
    judge_silence(found, arrivals, cast.troubles)
    if network.can_part:  # on loopback all callers have the same address
        judge_resumption(found, arrivals, cast.promotions.all, cast.troubles, plan.worker_hosts)
    return found


def _unreplicated(directory: Path, plan: HostsPlan) -> int:
    """Return how many claims did not count, as the workers' logs say."""
    return sum((directory / f"{host}.log").read_text().count("claim_not_replicated") for host in plan.worker_hosts)
