"""What the simulated portal knows about a run, gathered call by call."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyroaring import BitMap

from chaos.mischief import Disturbance
from simulator.client import SimulatorClient

_SETS = ("existed", "alive", "deleted", "read_only", "invoiced", "invisible", "poisoned", "sent", "confirmed")

#: An answer that left the portal within this time of a disturbance may not have been recorded, seconds.
_MARGIN_S = 3.0

#: Faults after which the caller still gets a complete and truthful answer.
_HARMLESS = (None, "late")

#: Statuses that never, or not always, count as an attempt in the ledger.
_TURNED_AWAY = (401, 402, 403, 429, 503)


@dataclass(slots=True)
class Attempt:
    """One call about contacts, as the portal saw it. Times are Unix times in seconds.

    Attributes:
        asked, deleted, listed: contact IDs.
        clean: a complete and truthful answer was written to an open connection.
        status: HTTP status of the answer; None if there was none.
        address: the caller's IP address.
    """

    kind: str
    arrived_s: float
    answered_s: float
    committed_s: float | None
    asked: BitMap
    deleted: BitMap
    listed: BitMap
    clean: bool
    fault: str | None
    delivered: bool
    status: int | None = None
    address: str = ""

    @property
    def turned_away(self) -> bool:
        """Whether the portal did not look at the list: too many calls, or a fault of the account."""
        return self.status in _TURNED_AWAY


@dataclass(slots=True)
class Evidence:
    """The truth of one run: sets of contact IDs, and the calls.

    Attributes:
        sets: existed, alive, deleted, …: see the simulator's /truth/contacts.
        told: listed as deleted by an answer that reached the caller.
        doubtful: in a PUT without a complete and truthful answer.
        disturbed: in a PUT answered at about the time when something on our side was killed or frozen.
        resent: sent again after a complete answer had listed them.
        edited: changed from outside, so that what the portal says of them now need not have been true before.
        summary: the simulator's own counts.
    """

    sets: dict[str, BitMap]
    attempts: list[Attempt]
    summary: dict[str, Any]
    arrivals_ms: list[float]
    told: BitMap = field(default_factory=BitMap)
    doubtful: BitMap = field(default_factory=BitMap)
    disturbed: BitMap = field(default_factory=BitMap)
    resent: BitMap = field(default_factory=BitMap)
    edited: BitMap = field(default_factory=BitMap)

    @classmethod
    async def gather(cls, portal: SimulatorClient, disturbances: Iterable[Disturbance]) -> "Evidence":
        """Ask the portal for everything; no call may be in progress any more."""
        sets = {name: await portal.contacts(name) for name in _SETS}
        calls, summary = await portal.calls(), await portal.summary()
        attempts = await _attempts(portal, calls, summary["started_at"])
        evidence = cls(sets, attempts, summary, sorted(call["at_ms"] for call in calls))
        times = [(one.start_s - _MARGIN_S, one.end_s + _MARGIN_S) for one in disturbances]
        for put in evidence.puts():
            if put.clean or (put.delivered and put.fault == "wrong_count"):
                evidence.told |= put.deleted if put.fault == "wrong_count" else put.listed
            if not put.clean:
                evidence.doubtful |= put.asked
            if any(start_s <= put.answered_s <= end_s for start_s, end_s in times):
                evidence.disturbed |= put.asked
        evidence.resent = await portal.contacts("resent_after_confirmation")
        evidence.edited = await portal.contacts("deleted_outside") | await portal.contacts("created")
        return evidence

    def puts(self) -> list[Attempt]:
        """Return the deletions in order of arrival."""
        return [attempt for attempt in self.attempts if attempt.kind == "delete"]

    def marked_and_never_sent(self, marked: Mapping[int, int]) -> BitMap:
        """Return the contacts with an attempt that a ledger has marked but that never arrived: its worker died first.

        Args:
            marked: attempts per contact, over the ledgers of all jobs.
        """
        arrived = Counter(contact_id for put in self.puts() if not put.turned_away for contact_id in put.asked)
        return BitMap(contact_id for contact_id, attempts in marked.items() if attempts > arrived[contact_id])

    def commit_s(self, contact_id: int) -> float | None:
        """Return when a contact was deleted."""
        return next((put.committed_s for put in self.puts() if contact_id in put.deleted), None)

    def seen_gone(self, contact_id: int, until_s: float) -> bool:
        """Check whether a look-up had told us before `until_s` that the contact was gone."""
        gone_s = self.commit_s(contact_id)
        return any(
            attempt.kind == "look_up"
            and attempt.clean
            and contact_id in attempt.asked
            and gone_s is not None
            and attempt.arrived_s > gone_s
            and attempt.answered_s < until_s
            for attempt in self.attempts
        )

    def peak_in_flight(self, disturbances: Iterable[Disturbance]) -> int:
        """Return the largest number of calls about contacts that were in flight at the same time.

        Calls whose callers gave up while the portal itself was frozen are left out: it handles all of them together.
        """
        frozen = [(one.start_s, one.end_s + 1) for one in disturbances if one.name == "freeze portal"]
        moments: list[tuple[float, int]] = []
        for attempt in self.attempts:
            if not any(start_s <= attempt.arrived_s <= end_s for start_s, end_s in frozen):
                moments += [(attempt.arrived_s, 1), (attempt.answered_s, -1)]
        in_flight = most = 0
        for _, change in sorted(moments):
            in_flight += change
            most = max(most, in_flight)
        return most

    def busiest_second(self) -> tuple[int, float]:
        """Return the most calls that arrived in any one second, and when that second ended, in seconds of the run."""
        first, most, when_s = 0, 0, 0.0
        for last, at_ms in enumerate(self.arrivals_ms):
            while at_ms - self.arrivals_ms[first] >= 1000:
                first += 1
            if last - first + 1 > most:
                most, when_s = last - first + 1, at_ms / 1000
        return most, when_s


async def _attempts(portal: SimulatorClient, calls: list[dict[str, Any]], started_at: float) -> list[Attempt]:
    limit = asyncio.Semaphore(8)

    async def read(call: dict[str, Any]) -> Attempt:
        async with limit:
            whole = await portal.call(call["number"])
        answered_ms, committed_ms = whole["answered_at_ms"], whole["committed_at_ms"]
        return Attempt(
            kind=whole["kind"],
            arrived_s=started_at + whole["at_ms"] / 1000,
            answered_s=started_at + (whole["at_ms"] if answered_ms is None else answered_ms) / 1000,
            committed_s=None if committed_ms is None else started_at + committed_ms / 1000,
            asked=BitMap(whole["asked"]),
            deleted=BitMap(whole["deleted_ids"]),
            listed=BitMap(whole["listed"]),
            clean=whole["status"] == 200 and whole["delivered"] and whole["fault"] in _HARMLESS,
            fault=whole["fault"],
            delivered=whole["delivered"],
            status=whole["status"],
            address=whole["address"],
        )

    return await asyncio.gather(*(read(call) for call in calls if call["kind"] in ("delete", "look_up")))
