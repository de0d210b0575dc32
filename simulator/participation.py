"""The opportunities and cases of the portal, and which contacts take part in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from pyroaring import BitMap

from simulator.users import IMPORTER


@dataclass
class Case:
    """A case.

    Attributes:
        members: the contacts that take part.
    """

    id: int
    title: str
    members: BitMap = field(default_factory=BitMap)
    closed: bool = False
    private: bool = False
    access: list[str] = field(default_factory=list)
    created_by: str = IMPORTER
    created: str = "2020-01-31T09:30:00"


@dataclass
class Opportunity:
    """An opportunity.

    Attributes:
        contact_id: its main contact, 0 for none; a main contact is usually a member too.
        members: the contacts that take part.
        bid_type: 0 fixed, 1 per hour, 2 per day, 3 per week, 4 per month, 5 per year.
        stage: from 1 to the number of stages.
        probability: of success, in per cent.
    """

    id: int
    title: str
    contact_id: int = 0
    members: BitMap = field(default_factory=BitMap)
    description: str = ""
    responsible: str = IMPORTER
    bid_type: int = 0
    bid_value: float = 0.0
    bid_currency: str = "USD"
    per_period_value: int = 0
    stage: int = 1
    probability: int = 10
    actual_close: str | None = None
    expected_close: str | None = None
    private: bool = False
    access: list[str] = field(default_factory=list)
    created_by: str = IMPORTER
    created: str = "2020-01-31T09:30:00"


class Part(NamedTuple):
    """A contact's part in an opportunity."""

    opportunity_id: int
    main: bool
    member: bool


class Participation:
    """All opportunities and cases.

    Args:
        opportunities: in any order; their numbers are distinct.
        cases: likewise.
    """

    def __init__(self, opportunities: Iterable[Opportunity] = (), cases: Iterable[Case] = ()) -> None:
        self.opportunities: dict[int, Opportunity] = {}
        self.cases: dict[int, Case] = {}
        self._deals_of: dict[int, set[int]] = {}
        self._cases_of: dict[int, set[int]] = {}
        for deal in opportunities:
            self.add(deal)
        for case in cases:
            self.add(case)

    def in_opportunities(self) -> BitMap:
        """Return the contacts that take part in an opportunity."""
        return BitMap(self._deals_of)

    def members(self) -> BitMap:
        """Return the contacts that take part in anything."""
        return BitMap(self._deals_of) | BitMap(self._cases_of)

    def parts(self, contact_id: int) -> list[Part]:
        """Return the contact's parts in opportunities, by their number."""
        deals = [self.opportunities[number] for number in sorted(self._deals_of.get(contact_id, ()))]
        return [Part(deal.id, deal.contact_id == contact_id, contact_id in deal.members) for deal in deals]

    def cases_of(self, contact_id: int) -> list[int]:
        """Return the numbers of the cases that the contact takes part in, in ascending order."""
        return sorted(self._cases_of.get(contact_id, ()))

    def add(self, group: Opportunity | Case) -> None:
        """Add an opportunity or a case."""
        if isinstance(group, Opportunity):
            self.opportunities[group.id] = group
            if group.contact_id:
                self._note(group, group.contact_id)
        else:
            self.cases[group.id] = group
        for contact_id in group.members:
            self._note(group, contact_id)

    def remove(self, opportunity_ids: Iterable[int] = (), case_ids: Iterable[int] = ()) -> None:
        """Remove opportunities and cases; numbers that there are not are passed over."""
        for deal in [self.opportunities[number] for number in opportunity_ids if number in self.opportunities]:
            self.set_main(deal, 0)
            self.set_members(deal, ())
            del self.opportunities[deal.id]
        for case in [self.cases[number] for number in case_ids if number in self.cases]:
            for contact_id in case.members:
                self._cases_of[contact_id].discard(case.id)
            del self.cases[case.id]

    def join(self, group: Opportunity | Case, contact_id: int) -> None:
        """Make the contact a member."""
        group.members.add(contact_id)
        self._note(group, contact_id)

    def set_members(self, deal: Opportunity, contact_ids: Iterable[int]) -> None:
        """Make these contacts, and no others, the members of an opportunity."""
        former, deal.members = deal.members, BitMap(contact_ids)
        self._refresh(deal, former | deal.members)

    def set_main(self, deal: Opportunity, contact_id: int) -> None:
        """Make the contact, or 0 for none, the main one of an opportunity; it does not become a member by that."""
        former, deal.contact_id = deal.contact_id, contact_id
        self._refresh(deal, {former, contact_id} - {0})

    def leave(self, contact_ids: BitMap) -> None:
        """Take the contacts out of everything, as their deletion does; opportunities stay without a main contact."""
        for contact_id in contact_ids & self.members():
            for number in self._deals_of.pop(contact_id, ()):
                deal = self.opportunities[number]
                deal.members.discard(contact_id)
                if deal.contact_id == contact_id:
                    deal.contact_id = 0
            for number in self._cases_of.pop(contact_id, ()):
                self.cases[number].members.discard(contact_id)

    def _note(self, group: Opportunity | Case, contact_id: int) -> None:
        index = self._deals_of if isinstance(group, Opportunity) else self._cases_of
        index.setdefault(contact_id, set()).add(group.id)

    def _refresh(self, deal: Opportunity, contact_ids: Iterable[int]) -> None:
        for contact_id in contact_ids:
            if contact_id == deal.contact_id or contact_id in deal.members:
                self._note(deal, contact_id)
            else:
                numbers = self._deals_of.get(contact_id, set())
                numbers.discard(deal.id)
                if not numbers:
                    self._deals_of.pop(contact_id, None)
