"""The portal's record of every PUT against plans, approvals, the stop switch, windows and the cap of a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from pyroaring import BitMap

from chaos.evidence import Attempt
from chaos.people import Stop
from chaos.verdict import Verdict

#: A call that was handed out when the switch was set or the windows closed may still be on its way, seconds.
_IN_FLIGHT_S = 2.0
#: So may one whose worker, Redis or portal stands still meanwhile, seconds after that.
_DELAYED_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What was allowed.

    Attributes:
        lists: the contacts of jobs without a plan, by job.
        deletable: the contacts that a plan calls deletable, by job.
        approved_s: when each plan was approved at the earliest, Unix time; without those that never were.
        portals: contacts of the portals by name, as far as one has contacts of its own.
        ordinary: name of the portal that has all other contacts.
        stops: when PUTs were stopped.
        windowed: name of the portal with windows.
        open_times: when its windows were open, Unix times.
        capped: name of the portal with a cap.
        cap: contacts that may be in its PUTs.
        delays: when calls may have been late, Unix times.
    """

    lists: Mapping[str, BitMap]
    deletable: Mapping[str, BitMap]
    approved_s: Mapping[str, float]
    portals: Mapping[str, BitMap]
    ordinary: str
    stops: Sequence[Stop]
    windowed: str
    open_times: Sequence[tuple[float, float]]
    capped: str
    cap: int
    delays: Sequence[tuple[float, float]] = field(default_factory=tuple)

    def portal_of(self, put: Attempt) -> str:
        """Return through which portal's name a PUT came."""
        return next((name for name, ids in self.portals.items() if ids.intersect(put.asked)), self.ordinary)

    def is_delayed(self, since_s: float, put: Attempt) -> bool:
        """Check whether a PUT that arrived after `since_s` may have been handed out before."""
        late_s = put.arrived_s - since_s
        if late_s <= _IN_FLIGHT_S:
            return True
        return late_s <= _DELAYED_S and any(
            start_s <= put.arrived_s and end_s >= since_s - _IN_FLIGHT_S for start_s, end_s in self.delays
        )


def judge_guards(verdict: Verdict, puts: Sequence[Attempt], guarded: Guarded) -> None:
    """Add to a verdict what was sent although a plan or a guard did not allow it.

    Args:
        verdict: gets what is wrong, and how much was looked at.
        puts: every PUT that arrived at the portal.
        guarded: what was allowed.
    """
    unplanned, too_early, stopped, closed, sent_of_capped = BitMap(), BitMap(), BitMap(), BitMap(), 0
    lists = BitMap.union(BitMap(), *guarded.lists.values())
    ever = BitMap.union(lists, *guarded.deletable.values())
    for put in puts:
        approved = (ids for job, ids in guarded.deletable.items() if _is_approved(guarded, job, put))
        unplanned |= put.asked - ever
        too_early |= (put.asked & ever) - BitMap.union(lists, *approved)
        portal = guarded.portal_of(put)
        if any(_is_stopped(guarded, stop, portal, put) for stop in guarded.stops):
            stopped |= put.asked
        if portal == guarded.windowed and not _is_open(guarded, put):
            closed |= put.asked
        # After a 401, which means that nothing was done, a call sends its PUT again with another token.
        if portal == guarded.capped and put.status != HTTPStatus.UNAUTHORIZED:
            sent_of_capped += len(put.asked)
        verdict.counts[f"sent through portal {portal}"] += len(put.asked)
    verdict.refuse("sent, although no plan calls it deletable", unplanned)
    verdict.refuse("sent before its plan was approved", too_early)
    verdict.refuse("sent while stopped", stopped)
    verdict.refuse("sent while the windows were closed", closed)
    if sent_of_capped > guarded.cap:
        verdict.disagreements.append(f"{sent_of_capped:,} contacts were sent on a day with a cap of {guarded.cap:,}")


def _is_approved(guarded: Guarded, job_id: str, put: Attempt) -> bool:
    return job_id in guarded.approved_s and guarded.approved_s[job_id] <= put.arrived_s


def _is_stopped(guarded: Guarded, stop: Stop, portal: str, put: Attempt) -> bool:
    concerns = stop.portal in {None, portal} and stop.start_s <= put.arrived_s <= stop.end_s
    return concerns and not guarded.is_delayed(stop.start_s, put)


def _is_open(guarded: Guarded, put: Attempt) -> bool:
    begun = [(start_s, end_s) for start_s, end_s in guarded.open_times if start_s <= put.arrived_s]
    return any(put.arrived_s <= end_s or guarded.is_delayed(end_s, put) for _, end_s in begun)
