"""A bundle in the making, as far as one process holds it in memory. It neither calls nor stores.

Nothing of a contact may be parked in Redis. So what a worker has read since the last object was written is in its
memory alone, and what Redis knows is the *checkpoint*: the survey as it was then. A process that takes a step and does
not hold what followed on that checkpoint begins again there, and reads the same once more.

    page or look-ups → pending, until all of a contact is read → packer → an object, and a new checkpoint
"""

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import msgspec
from pyroaring import BitMap

from jobs.bundles.codec import Packer, Sealed
from jobs.bundles.kept import Kept
from jobs.bundles.record import Case, Opportunity, record_line
from jobs.words.contact_ids import MAX_CONTACT_ID, SEGMENT_SIZE
from jobs.words.filters import Filter
from jobs.words.outcomes import Code
from jobs.words.verdicts import VerdictCode
from worker.links import Kind, LinkListing, of_contact
from worker.portal_answers import Contact, Visible
from worker.records import matches
from worker.survey import Keeping, Survey
from worker.verdicts import Verdicts
from worker.walk import Walk


class Need(Enum):
    """A call that is still needed for the record of a contact."""

    DETAILS = "details"
    TAGS = "tags"
    OPPORTUNITIES = Kind.OPPORTUNITY
    CASES = Kind.CASE


@dataclass(slots=True)
class Pending:
    """A contact whose record is not complete.

    Attributes:
        place: its place in the job's list.
        contact_id: the contact.
        record: as the portal wrote it; empty until it is read.
        needs: the calls that are still needed.
        links: what it takes part in, where that is asked contact by contact.
    """

    place: int
    contact_id: int
    record: bytes
    needs: list[Need]
    links: dict[Kind, LinkListing] = field(default_factory=dict)

    def listing(self, kind: Kind) -> LinkListing:
        """Return the listing of its own opportunities or cases."""
        if kind not in self.links:
            self.links[kind] = LinkListing(kind, BitMap([self.contact_id]), calls_instead=sys.maxsize)
        return self.links[kind]


@dataclass(frozen=True, slots=True)
class Segment:
    """The segment that is being worked on.

    Attributes:
        number: of the segment.
        ids: its contact IDs.
        codes: a code of `Kept` per position, as far as they are known.
        verdicts: of the job's plan; empty for a job without one.
        exclusions: what is left alone, as codes of the ledger; empty for a job without a plan.
    """

    number: int
    ids: "array[int]"
    codes: bytearray
    verdicts: bytearray = field(default_factory=bytearray)
    exclusions: bytearray = field(default_factory=bytearray)

    @property
    def start(self) -> int:
        """The place in the job's list of its first contact ID."""
        return self.number * SEGMENT_SIZE

    @property
    def end(self) -> int:
        """The place behind its last contact ID."""
        return self.start + len(self.ids)

    def wants(self, at: int) -> bool:
        """Check whether the contact at a position can be sent, as far as the plan and the exclusions say."""
        planned = not self.verdicts or self.verdicts[at] == VerdictCode.DELETABLE
        return planned and not (self.exclusions and self.exclusions[at])

    def exclude(self, at: int, code: Code) -> None:
        """Note that the contact at a position is left alone."""
        if self.exclusions and not self.exclusions[at]:
            self.exclusions[at] = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Decides of which contacts a record is kept: those that would be sent.

    Attributes:
        filter: what the job's contacts were chosen by; None for a list.
        verdicts: knows what protects a contact.
        has_plan: whether the job has a plan; only then do protected tags matter.
        has_started: whether something of the job has been sent, so that a contact can be missing because of that.
    """

    filter: Filter | None
    verdicts: Verdicts
    has_plan: bool
    has_started: bool

    @property
    def excludes_missing(self) -> bool:
        """Whether a contact that is not listed does not match the filter any more, and so is left alone."""
        return self.filter is not None and not self.has_started

    def keeps(self, segment: Segment, at: int, contact: Contact) -> bool:
        """Check whether the record of a contact is kept; note in the segment if it is to be left alone.

        Args:
            segment: its segment.
            at: its position there.
            contact: what the portal told of it.
        """
        if not segment.wants(at) or contact.visible is not Visible.DELETABLE:
            return False
        if contact.id in self.verdicts.protected:
            return False
        if self.has_plan and self.verdicts.has_protected_tag(contact):
            segment.exclude(at, Code.PROTECTED_TAG)
            return False
        if self.filter is not None and not matches(self.filter, contact):
            if not self.has_started:
                segment.exclude(at, Code.NO_LONGER_SELECTED)
            return False
        return True


@dataclass(slots=True, kw_only=True)
class Making:
    """What one process holds of a bundle.

    Attributes:
        checkpoint: the survey as Redis has it; everything here follows on it.
        keeping: how far the bundle is; part of the survey.
        survey: where it stands now: `position` is behind everything that is sorted out or pending.
        segment: the segment that is being worked on.
        links: opportunities and cases; None until they are asked for.
        before: the walk before the last page.
        page: contacts of the last page, with their records, that are not sorted out yet.
        pending: contacts whose record is not complete, in order.
        packer: the records since the last object.
        sealed: an object that could not be written yet.
        written: the place up to which everything is recorded.
    """

    checkpoint: bytes
    survey: Survey
    keeping: Keeping
    segment: Segment
    links: dict[Kind, LinkListing] = field(default_factory=dict)
    before: Walk = field(default_factory=Walk)
    page: deque[tuple[Contact, bytes]] = field(default_factory=deque)
    pending: deque[Pending] = field(default_factory=deque)
    packer: Packer = field(default_factory=Packer)
    sealed: Sealed | None = None
    written: int = 0

    @property
    def settled(self) -> int:
        """The place before which every contact ID has its code."""
        return self.pending[0].place if self.pending else self.survey.position

    @property
    def segment_is_read(self) -> bool:
        """Whether every contact ID of the segment has its code."""
        return self.settled >= self.segment.end

    def needs_of(self, *, by_look_ups: bool) -> list[Need]:
        """Return the calls that a contact needs, besides the pages of listings."""
        needs = [Need.DETAILS, Need.TAGS] if by_look_ups else []
        by_contact = [kind for kind, listing in self.links.items() if listing.by_contact]
        return needs + [Need(kind) for kind in by_contact]

    def turn_page(self, contacts: Sequence[Contact], records: Sequence[bytes]) -> None:
        """Take the new contacts of a page; the last one is where the survey's walk is now.

        Args:
            contacts: in ascending order.
            records: their records, as many.
        """
        self.page.extend(zip(contacts, records, strict=True))

    def sort(self, judge: Judge) -> None:
        """Sort the contacts of the page out, as far as they are in this segment."""
        segment, walk = self.segment, self.survey.walk
        start = self.survey.position - segment.start
        last_id = MAX_CONTACT_ID if walk.finished else walk.last_id
        end = bisect_right(segment.ids, last_id, start)
        last_of_segment = segment.ids[-1]
        done = start
        while self.page and self.page[0][0].id <= last_of_segment:
            contact, record = self.page.popleft()
            at = bisect_left(segment.ids, contact.id, done, end)
            self._pass_over(done, at, judge)
            done = at
            if at < end and segment.ids[at] == contact.id:
                done = at + 1
                if judge.keeps(segment, at, contact):
                    needs = self.needs_of(by_look_ups=False)
                    self.pending.append(Pending(segment.start + at, contact.id, record, needs))
                else:
                    segment.codes[at] = Kept.NONE
        self._pass_over(done, end, judge)
        self.survey.position = segment.start + end

    def take_next(self, protected: BitMap) -> None:
        """Take the next contact of the list, to be read by look-ups; pass over those that need no record."""
        segment = self.segment
        for at in range(self.survey.position - segment.start, len(segment.ids)):
            self.survey.position += 1
            if segment.wants(at) and segment.ids[at] not in protected:
                needs = self.needs_of(by_look_ups=True)
                self.pending.append(Pending(segment.start + at, segment.ids[at], b"", needs))
                return
            segment.codes[at] = Kept.NONE

    def drop_first(self) -> None:
        """The first pending contact turned out not to be there, or not to be deletable."""
        self.segment.codes[self.pending.popleft().place - self.segment.start] = Kept.NONE

    def pack(self) -> None:
        """Pack the contacts whose records are complete."""
        while self.pending and not self.pending[0].needs:
            one = self.pending.popleft()
            opportunities, cases = (self._links_of(one, kind) for kind in Kind)
            line = record_line(
                one.record,
                [Opportunity(*link) for link in opportunities],
                [Case(number, title) for number, title, _ in cases],
            )
            self.packer.add(line)
            self.segment.codes[one.place - self.segment.start] = Kept.RECORD

    def at_checkpoint(self) -> Survey:
        """Return the survey as another process can go on with it, once everything that is packed is written."""
        walk = self.survey.walk
        if self.pending or self.page:
            # The page is read again, and what of it is settled is passed over.
            at = self.settled - self.segment.start
            settled_id = self.segment.ids[at - 1] if at > 0 else 0
            walk = msgspec.structs.replace(self.before, last_id=max(self.before.last_id, settled_id))
        return msgspec.structs.replace(self.survey, walk=walk, position=self.settled)

    def _pass_over(self, start: int, end: int, judge: Judge) -> None:
        """Note that the contacts from one position to another are not in the listing."""
        if end > start:
            self.segment.codes[start:end] = bytes([Kept.NONE]) * (end - start)
            if judge.excludes_missing:
                for at in range(start, end):
                    self.segment.exclude(at, Code.NO_LONGER_SELECTED)

    def _links_of(self, one: Pending, kind: Kind) -> list[tuple[int, str, bool]]:
        listing = one.links.get(kind, self.links[kind])
        return of_contact(listing.of.get(one.contact_id, ()), one.contact_id)
