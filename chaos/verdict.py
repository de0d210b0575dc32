"""The ledger against the truth, contact by contact."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pyroaring import BitMap

from chaos.evidence import Evidence
from chaos.plan import ALL_CANCELLED
from jobs.ledger.rows import Rows
from jobs.words.outcomes import Code, Outcome

#: Tolerance for the clocks of two processes on one machine, and the time between looking and recording, seconds.
_SLACK_S = 2.0

#: How many examples of each disagreement are reported.
_EXAMPLES = 5


@dataclass
class Ledger:
    """The content of one job's ledger: the contact IDs by code, when each was decided (Unix ms), and the attempts."""

    by_code: dict[Code, BitMap] = field(default_factory=lambda: defaultdict(BitMap))
    at_ms: dict[int, int] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, segments: Iterable[Rows]) -> "Ledger":
        """Read a whole ledger."""
        ledger = cls()
        for rows in segments:
            for contact_id, (code, attempts, _, at_ms) in zip(rows.ids, rows.facts(), strict=True):
                ledger.by_code[Code(code)].add(contact_id)
                ledger.at_ms[contact_id] = at_ms
                ledger.attempts[contact_id] = attempts
        return ledger

    def of(self, outcome: Outcome) -> BitMap:
        """Return the contact IDs with this outcome, whatever the reason."""
        return BitMap.union(BitMap(), *(ids for code, ids in self.by_code.items() if code.outcome is outcome))


@dataclass
class Verdict:
    """The result of the comparison.

    Attributes:
        counts: contacts per outcome, and per noteworthy fate.
        disagreements: what is wrong, each with examples; empty when ledger and portal agree.
    """

    counts: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)

    def refuse(self, what: str, contact_ids: BitMap) -> None:
        """Note that these contacts are not what they should be."""
        if contact_ids:
            examples = ", ".join(map(str, contact_ids[:_EXAMPLES]))
            self.disagreements.append(f"{what}: {len(contact_ids):,} contacts, such as {examples}")


def judge(
    lists: Mapping[str, BitMap],
    ledgers: Mapping[str, Ledger],
    truth: Evidence,
    cancelled: Collection[str] = ALL_CANCELLED,
) -> Verdict:
    """Compare every job's ledger with the portal's truth.

    Args:
        lists: the contacts of each job.
        ledgers: the ledger of each job.
        truth: what the portal knows.
        cancelled: jobs that somebody has cancelled.
    """
    verdict = Verdict()
    marked: Counter[int] = Counter()
    for ledger in ledgers.values():
        marked.update(ledger.attempts)
    unsent = truth.marked_and_never_sent(marked)
    for job_id, listed in lists.items():
        others = [other for other in lists if other != job_id]
        of_others, listed_by_others = [ledgers[other] for other in others], [lists[other] for other in others]
        case = _Case(
            job_id, listed, ledgers[job_id], of_others, listed_by_others, unsent, was_cancelled=job_id in cancelled
        )
        _judge_job(verdict, case, truth)
    everybody = BitMap.union(BitMap(), *lists.values())
    deleted = truth.sets["deleted"]
    verdict.refuse("deleted although on no list", deleted - everybody)
    verdict.refuse("sent although on no list", truth.sets["sent"] - everybody)
    claimed = BitMap()
    for ledger in ledgers.values():
        claimed |= ledger.of(Outcome.DELETED) | ledger.of(Outcome.PRESUMED_DELETED) | ledger.of(Outcome.FAILED)
    verdict.refuse("deleted by us, and no ledger says so", deleted - claimed)
    verdict.refuse("sent again after the portal had confirmed it", truth.resent - _on_several(lists))
    verdict.counts["really deleted"] = len(deleted)
    return verdict


@dataclass(frozen=True, slots=True)
class _Case:
    """One job: its list, its ledger, and the ledgers of the others."""

    job_id: str
    listed: BitMap
    ledger: Ledger
    others: list[Ledger]
    others_listed: list[BitMap]
    unsent: BitMap
    """Contacts with an attempt that some job has marked, but that never arrived at the portal."""
    was_cancelled: bool

    def claimed_by_others(self) -> BitMap:
        """Return the contacts that, according to another job's ledger, that job deleted or may have deleted."""
        claims = (Outcome.DELETED, Outcome.PRESUMED_DELETED, Outcome.FAILED)
        return BitMap.union(BitMap(), *(other.of(outcome) for other in self.others for outcome in claims))


def _judge_job(verdict: Verdict, case: _Case, truth: Evidence) -> None:
    job_id, listed, ledger, sets = case.job_id, case.listed, case.ledger, truth.sets
    visible = sets["alive"] - sets["invisible"]
    others = BitMap.union(BitMap(), *case.others_listed)
    deleted = sets["deleted"]
    of = {outcome: ledger.of(outcome) for outcome in Outcome}
    for outcome, ids in of.items():
        verdict.counts[outcome.value] += len(ids)
    told = BitMap.union(BitMap(), *of.values())
    verdict.refuse(f"{job_id}: on the list and not in the ledger", listed - told)
    verdict.refuse(f"{job_id}: in the ledger and not on the list", told - listed)
    verdict.refuse(f"{job_id}: undecided", of[Outcome.PENDING])

    # A contact that others delete between our commit and its time is listed all the same.
    verdict.refuse(f"{job_id}: deleted, and still there", of[Outcome.DELETED] - deleted - (truth.edited - visible))
    verdict.refuse(f"{job_id}: deleted, and no answer said so", of[Outcome.DELETED] - truth.told)

    presumed = of[Outcome.PRESUMED_DELETED]
    verdict.refuse(f"{job_id}: presumed deleted, and still visible", presumed & visible)
    sent_without_doubt = (presumed & sets["sent"]) - truth.doubtful
    verdict.refuse(
        f"{job_id}: presumed deleted without a doubtful attempt", sent_without_doubt - truth.disturbed - case.unsent
    )
    verdict.counts["presumed: really deleted by us"] += len(presumed & deleted)
    verdict.counts["presumed: was never there, or never visible"] += len(presumed - deleted)
    verdict.counts["presumed: answered, and the worker was killed or cut off"] += len(sent_without_doubt)
    verdict.counts["presumed: marked as sent, but the worker died first"] += len(presumed - sets["sent"])

    not_found = of[Outcome.NOT_FOUND]
    verdict.refuse(f"{job_id}: not found, and still visible", not_found & visible)
    verdict.refuse(f"{job_id}: not found, and deleted by us", (not_found & deleted) - case.claimed_by_others())
    verdict.counts["not found: deleted by another of our jobs"] += len(not_found & deleted & case.claimed_by_others())

    read_only, invoiced = ledger.by_code[Code.READ_ONLY], ledger.by_code[Code.HAS_INVOICE]
    not_read_only = read_only - (sets["read_only"] & visible)
    verdict.refuse(f"{job_id}: refused as read-only, and it is not", not_read_only - truth.edited)
    not_invoiced = invoiced - (sets["invoiced"] & visible)
    verdict.refuse(f"{job_id}: refused for an invoice without one", not_invoiced - truth.edited)

    skipped = of[Outcome.SKIPPED]
    verdict.refuse(f"{job_id}: skipped, and sent", (skipped & sets["sent"]) - others)
    if not case.was_cancelled:
        verdict.refuse(f"{job_id}: skipped, although the job was not cancelled", ledger.by_code[Code.SKIPPED])
    _judge_failed(verdict, case, truth)


def _judge_failed(verdict: Verdict, case: _Case, truth: Evidence) -> None:
    """Judge the contacts given up: they may be gone only by a late commit, or because no look-up got through."""
    failed = case.ledger.of(Outcome.FAILED)
    verdict.counts["failed: poisoned"] += len(failed & truth.sets["poisoned"])
    verdict.counts["failed: too many faults in a row"] += len(failed - truth.sets["poisoned"] - truth.sets["deleted"])
    known = BitMap()
    for contact_id in (failed & truth.sets["deleted"]) - case.claimed_by_others():
        decided_s = case.ledger.at_ms[contact_id] / 1000
        commit_s = truth.commit_s(contact_id) or 0.0
        if commit_s > decided_s - _SLACK_S:
            verdict.counts["failed: a commit came after we had given up"] += 1
        elif truth.seen_gone(contact_id, decided_s - _SLACK_S):
            known.add(contact_id)
        else:
            verdict.counts["failed: deleted, and no look-up got through"] += 1
    verdict.refuse(f"{case.job_id}: failed, although a look-up had shown that it is gone", known)


def _on_several(lists: Mapping[str, BitMap]) -> BitMap:
    seen, several = BitMap(), BitMap()
    for ids in lists.values():
        several |= seen & ids
        seen |= ids
    return several
