"""The portal's record of every call by its caller: who goes on how soon after a fail-over, and who must be silent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos.hosts.asides import CUT_OFF_FROM_REDIS
from chaos.hosts.failovers import CUT_OFF_WITH_PRIMARY
from chaos.hosts.plan import LEASE_S
from chaos.hosts.promotions import Promotion
from chaos.hosts.troubles import Trouble, Troubles

#: Work goes on within this time of a promotion.
GOES_ON_WITHIN_S = 5.0
#: Every single worker takes part in it again within this time, also on a machine with too much to do.
ALL_GO_ON_WITHIN_S = 10.0
#: What a call may take from the last look at the lease to its arrival, on a machine with too much to do.
_ON_ITS_WAY_S = 1.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call as it arrived at the portal.

    Attributes:
        kind: `delete`, `look_up`, `listing`, …
        host: the caller.
        at_s: Unix time.
    """

    kind: str
    host: str
    at_s: float


@dataclass(kw_only=True)
class Silence:
    """A time in which a worker had no say any more, because it was cut off from Redis and its leases had lapsed.

    Attributes:
        worker: its host.
        cut_off_s: for how long it was cut off.
        last_call_s: its last call, seconds after it was cut off; None if there was none at all.
        calls_too_late: calls that came when it had to be silent.
    """

    worker: str
    cut_off_s: float
    last_call_s: float | None
    calls_too_late: int


@dataclass(kw_only=True)
class Resumption:
    """How soon an undisturbed worker called the portal again after a fail-over.

    Attributes:
        epoch: number of the fail-over.
        worker: its host.
        after_s: seconds from when claims were possible again to its first call; None if it made none.
    """

    epoch: int
    worker: str
    after_s: float | None


@dataclass
class Calls:
    """What the record says.

    Attributes:
        silences, resumptions: what was looked at.
        problems: what must not be.
    """

    silences: list[Silence] = field(default_factory=list)
    resumptions: list[Resumption] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def judge_silence(found: Calls, arrivals: Sequence[Arrival], troubles: Troubles) -> None:
    """Look for calls of workers that were cut off from Redis, or with a primary that has no replicas."""
    for trouble in troubles.all:
        if trouble.parted_s is None or trouble.joined_s is None:
            continue
        for worker in _cut_off(trouble):
            # With a primary at its side it can look contacts up, but nothing that it claims counts.
            only_deletions = trouble.name == CUT_OFF_WITH_PRIMARY
            meanwhile = [
                one.at_s - trouble.parted_s
                for one in arrivals
                if one.host == worker
                and trouble.parted_s < one.at_s < trouble.joined_s
                and (one.kind == "delete" or not only_deletions)
            ]
            too_late = sum(after_s > LEASE_S + _ON_ITS_WAY_S for after_s in meanwhile)
            found.silences.append(
                Silence(
                    worker=worker,
                    cut_off_s=trouble.joined_s - trouble.parted_s,
                    last_call_s=max(meanwhile, default=None),
                    calls_too_late=too_late,
                )
            )
            if too_late:
                found.problems.append(
                    f"{worker} was cut off ({trouble.name}), and called the portal {too_late} times after its leases "
                    f"had lapsed, last {max(meanwhile):.1f} s after the cut"
                )


def _cut_off(trouble: Trouble) -> list[str]:
    if trouble.name in {CUT_OFF_FROM_REDIS, CUT_OFF_WITH_PRIMARY}:
        return [host for host in trouble.hosts if host.startswith("worker")]
    return []


def judge_resumption(
    found: Calls,
    arrivals: Sequence[Arrival],
    promotions: Sequence[Promotion],
    troubles: Troubles,
    workers: Sequence[str],
) -> None:
    """Look how soon each worker went on after each fail-over, if nothing disturbed it until then."""
    for number, promotion in enumerate(promotions):
        if promotion.able_s is None:
            continue
        able_s, limit_s = promotion.able_s, promotion.able_s + ALL_GO_ON_WITHIN_S
        next_s = promotions[number + 1].promoted_s if number + 1 < len(promotions) else math.inf
        of_epoch = []
        for worker in workers:
            call_s = min((one.at_s for one in arrivals if one.at_s >= able_s and one.host == worker), default=math.inf)
            until_s = min(call_s, limit_s)
            if next_s < until_s or troubles.touched(worker, promotion.promoted_s - LEASE_S, until_s):
                continue
            after_s = call_s - able_s if call_s < math.inf else None
            of_epoch.append(Resumption(epoch=promotion.epoch, worker=worker, after_s=after_s))
        found.resumptions += of_epoch
        what = f"fail-over {promotion.epoch} ({promotion.during}), although claims were possible"
        if of_epoch and not any(_within(one, GOES_ON_WITHIN_S) for one in of_epoch):
            found.problems.append(f"nobody made a call within {GOES_ON_WITHIN_S:.0f} s of {what}")
        found.problems += [
            f"{one.worker} made no call within {ALL_GO_ON_WITHIN_S:.0f} s of {what}"
            for one in of_epoch
            if not _within(one, ALL_GO_ON_WITHIN_S)
        ]


def _within(one: Resumption, limit_s: float) -> bool:
    return one.after_s is not None and one.after_s <= limit_s
