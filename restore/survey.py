"""The plan of a restore: how much is to be done, what it takes, and what cannot come back. Nothing is created yet."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec
from pyroaring import BitMap

from restore import calls
from restore.calls import Known
from restore.lost import Lost, always_lost
from restore.record import Record
from restore.targets import Targets


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The plan, as `--json` prints it."""

    job: str
    portal: str
    contacts: int
    """Contacts that are meant and were deleted by the job."""
    companies: int
    """Companies to be created now."""
    persons: int
    """Persons to be created now."""
    restored_before: int
    """Restored by an earlier run of this command."""
    still_there: int
    """Contacts that exist under their old ID, and are left alone."""
    no_record: int
    """Contacts of which the bundle holds no record."""
    calls: int
    """Calls to the portal, about."""
    estimate_s: float
    """Seconds that these take one after the other, at the rate and with the answering times of now."""
    lost: dict[str, int]
    """Contacts to be created that will lack something, by kind."""


@dataclass(slots=True)
class Survey:
    """Counts the records of a bundle, one after the other.

    Args:
        targets: what is to be restored.
    """

    targets: Targets
    seen: BitMap = field(default_factory=BitMap)
    """Contacts that have a record."""
    companies: BitMap = field(default_factory=BitMap)
    """Those of them that are companies."""
    employers: BitMap = field(default_factory=BitMap)
    """Companies that persons belonged to."""
    linked: bool = False
    """Whether a contact took part in an opportunity."""
    in_cases: bool = False
    """Whether a contact took part in a case."""
    _persons_of: Counter[int] = field(default_factory=Counter)
    _persons_count: dict[int, int] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Take a record into account."""
        if record.id not in self.targets.wanted:
            return
        self.seen.add(record.id)
        self.linked |= bool(record.opportunities)
        self.in_cases |= bool(record.cases)
        if record.is_company:
            self.companies.add(record.id)
            if record.persons_count:
                self._persons_count[record.id] = record.persons_count
        elif record.company:
            self.employers.add(record.company)
            self._persons_of[record.company] += 1

    def lost_for_good(self, record: Record, *, has_company: bool) -> Lost:
        """Return what of a contact no call can bring back, once all records were taken.

        Args:
            record: the contact.
            has_company: whether the company that it belonged to is there.
        """
        lost = always_lost(record)
        if record.company and not has_company:
            lost |= Lost.COMPANY
        if self._persons_count.get(record.id, 0) > self._persons_of[record.id]:
            # The others were not deleted with it, and the record does not say who they are.
            lost |= Lost.PERSONS
        return lost


@dataclass(slots=True)
class Costs:
    """What it takes to restore the contacts that are not restored yet.

    Args:
        survey: of all records.
        known: what exists on the portal.
    """

    survey: Survey
    known: Known
    calls: int = 0
    companies: int = 0
    persons: int = 0
    lost: Counter[Lost] = field(default_factory=Counter)

    def add(self, record: Record, *, has_company: bool) -> Lost:
        """Add a contact, and return what it will probably lack.

        Args:
            record: the contact.
            has_company: whether its company, if it had one, is going to be there.
        """
        lost = self.survey.lost_for_good(record, has_company=has_company)
        lost |= self.known.missing(record) | self.known.missing_links(record)
        mains = sum(link.is_main for link in record.opportunities)
        self.calls += 1 + len(calls.completion(record, 1, self.known)) + 2 * mains
        self.companies += record.is_company
        self.persons += not record.is_company
        self.lost.update(kind for kind in Lost if kind in lost)
        return lost
