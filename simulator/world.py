"""Which contacts exist, what they are like, and what the portal lets this account do with each.

Everything is a compressed bitmap of contact IDs or an exception to a formula; there is no object per contact, so ten
million take a few megabytes.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from pyroaring import BitMap

from simulator.attributes import Attributes
from simulator.chance import seeded
from simulator.creation import IMPORT_BLOCK, IMPORT_EVERY_S, Creation
from simulator.details import Info
from simulator.last_links import LastLinks
from simulator.links import Links
from simulator.oracle import select
from simulator.participation import Case, Opportunity, Participation
from simulator.profile import Profile
from simulator.variety import vary

#: The largest contact ID the portal can have (a signed 32-bit integer).
MAX_CONTACT_ID = 2**31 - 1

#: Either how many contacts (chosen by the seed) or exactly which ones.
Selection = int | Iterable[int]


class World:
    """The contacts of one portal as one account sees them.

    Args:
        contacts: N for the IDs 1..N, or the IDs themselves.
        read_only: contacts that the account can see but not edit.
        invoiced: contacts that are on an invoice and therefore cannot be deleted.
        invisible: contacts that exist but that the account cannot see.
        missing: IDs in ``contacts`` that do not exist after all.
        poisoned: contacts that make every batch that holds one fail as a whole.
        companies: which contacts are companies; by default those with ``id % 5 == 3``.
        no_email: contacts without an e-mail address; by default all have one.
        tagged: the contacts that have a tag, by its name.
        stages: the contacts of a stage, by its ID; the others have none.
        types: likewise for contact types.
        responsible: the contacts that a user is responsible for, by the user's GUID.
        with_opportunity: contacts that take part in an opportunity, beside those of ``opportunities``.
        private: contacts for administrators and those who are responsible for them.
        shared_to_read: contacts that all others can see but not edit. The account is an administrator.
        industries: the contacts of an industry, by its name.
        currencies: the contacts with a currency, by its abbreviation.
        details: phones, addresses and so on of single contacts, beside an e-mail address.
        opportunities: the opportunities of the portal.
        cases: the cases of the portal.
        varied: whether contacts differ in all that a record tells; see :mod:`simulator.variety`.
        created: when a contact was created, as an ISO date or time on the portal's clock; see :mod:`simulator.creation`
            for the others.
        import_block: how many consecutive IDs share a creation time by the formula.
        import_every_s: seconds from one such block to the next.
        persons_of: the persons of a company, by its ID.
        employed: whether all other persons belong to the nearest company before them (3 has 4, 5, 6 and 7).
        seed: decides which contacts a plain number picks. The numbers up to ``poisoned`` pick disjoint contacts.
        attributes: ``names``, ``notes``, ``custom_fields``, ``events``; see :class:`simulator.attributes.Attributes`.

    Raises:
        ValueError: more contacts were asked for than there are, or an attribute makes no sense.
    """

    def __init__(
        self,
        contacts: Selection = 0,
        *,
        read_only: Selection = 0,
        invoiced: Selection = 0,
        invisible: Selection = 0,
        missing: Selection = 0,
        poisoned: Selection = 0,
        companies: Selection | None = None,
        no_email: Selection = 0,
        tagged: Mapping[str, Selection] | None = None,
        stages: Mapping[int, Selection] | None = None,
        types: Mapping[int, Selection] | None = None,
        responsible: Mapping[str, Selection] | None = None,
        with_opportunity: Selection = 0,
        private: Selection = 0,
        shared_to_read: Selection = 0,
        industries: Mapping[str, Selection] | None = None,
        currencies: Mapping[str, Selection] | None = None,
        details: Mapping[int, Iterable[Info]] | None = None,
        opportunities: Iterable[Opportunity] = (),
        cases: Iterable[Case] = (),
        varied: bool = False,
        created: Mapping[int, str] | None = None,
        import_block: int = IMPORT_BLOCK,
        import_every_s: int = IMPORT_EVERY_S,
        persons_of: Mapping[int, Iterable[int]] | None = None,
        employed: bool = False,
        seed: int = 0,
        **attributes: Any,
    ) -> None:
        everyone = _numbered(contacts) if isinstance(contacts, int) else BitMap(contacts)
        picked = _choose(everyone, [read_only, invoiced, invisible, missing, poisoned], seed)
        self.read_only, self.invoiced, self.invisible, absent, self.poisoned = picked
        self.existed = everyone - absent
        self.alive = self.existed.copy()
        some = partial(_some, self.existed, seed)
        self.attributes = Attributes(
            companies=None if companies is None else some("companies", companies),
            no_email=some("no_email", no_email),
            tagged={name: some(f"tag {name}", chosen) for name, chosen in (tagged or {}).items()},
            stages={number: some(f"stage {number}", chosen) for number, chosen in (stages or {}).items()},
            types={number: some(f"type {number}", chosen) for number, chosen in (types or {}).items()},
            responsible={user: some(f"user {user}", chosen) for user, chosen in (responsible or {}).items()},
            with_opportunity=some("with_opportunity", with_opportunity),
            **attributes,
        )
        self.creation = Creation(created, import_block=import_block, import_every_s=import_every_s)
        if employed and companies is not None:
            raise ValueError("employed needs the companies that follow from the ID")
        by_formula = self._company_before if employed else self._varied_company if varied else None
        self.links = Links(persons_of, by_formula, range(1, 5))
        self.profile = Profile(
            private=some("private", private),
            shared_to_read=some("shared_to_read", shared_to_read),
            industries={name: some(f"industry {name}", chosen) for name, chosen in (industries or {}).items()},
            currencies={name: some(f"currency {name}", chosen) for name, chosen in (currencies or {}).items()},
            details=details,
        )
        self.participation = Participation(opportunities, cases)
        self.last_links = LastLinks()
        #: Contacts that were deleted; what they were like is still known.
        self.departed = BitMap()
        #: Deleted contacts that the search index still has: a batch deletion does not remove them from it.
        self.stale = BitMap()
        self._those: dict[object, tuple[Callable[[int], bool], BitMap]] = {}
        self._companies = self.attributes.companies_among(self.alive)
        self.deletable = BitMap()
        self.settle()
        if varied:
            vary(self)

    def settle(self) -> None:
        """Recompute what can be deleted; necessary after changing the sets by hand."""
        self.deletable = self.alive - self.invisible - self.read_only - self.invoiced

    # --- reading ---------------------------------------------------------------------------------------------------

    def is_company(self, contact_id: int) -> bool:
        """Check whether the contact is a company rather than a person."""
        return self.attributes.is_company(contact_id)

    @property
    def tagged(self) -> dict[str, BitMap]:
        """The contacts that have a tag, by its name; some of them may be gone."""
        return self.attributes.tagged

    def companies(self) -> BitMap:
        """Return the contacts that are companies; some of them may be gone by now."""
        return self._companies

    def company_of(self, person: int) -> int | None:
        """Return the company that the person belongs to, or None."""
        company = self.links.company_of(person)
        return company if company is not None and company in self.alive else None

    def persons_of(self, company: int) -> BitMap:
        """Return the persons that belong to the company."""
        return self.links.persons_of(company) & self.alive

    def with_opportunity(self) -> BitMap:
        """Return the contacts that take part in an opportunity; some of them may be gone."""
        return self.attributes.with_opportunity | self.participation.in_opportunities()

    def visible(self, contact_ids: BitMap | None = None) -> BitMap:
        """Return those of the IDs (or of all) that exist and that the account can see."""
        present = self.alive if contact_ids is None else contact_ids & self.alive
        return present - self.invisible

    def select(self, **members: Any) -> BitMap:
        """Return the visible contacts that match a filter as it is meant; see :func:`simulator.oracle.select`."""
        return select(self, **members)

    def those(self, name: object, keep: Callable[[int], bool]) -> BitMap:
        """Return the contacts with a property that follows from their ID, deleted ones included.

        Testing ten million contacts takes seconds, so the result is cached by name.
        """
        if name not in self._those:
            self._those[name] = keep, BitMap(filter(keep, self.alive | self.stale))
        return self._those[name][1]

    def can_edit(self, contact_id: int) -> bool:
        """Check whether the account may edit the contact."""
        return contact_id in self.alive and contact_id not in self.invisible and contact_id not in self.read_only

    def can_delete(self, contact_id: int) -> bool:
        """Check whether the account may delete the contact: it can be edited and is not on an invoice."""
        return contact_id in self.deletable

    def eligible(self, contact_ids: BitMap) -> BitMap:
        """Return those of the IDs that a deletion would delete; it silently skips the others."""
        return contact_ids & self.deletable

    # --- changing --------------------------------------------------------------------------------------------------

    def delete(self, contact_ids: BitMap, *, unindex: bool = False) -> BitMap:
        """Delete the contacts, whatever protects them, and return those that were still there.

        The persons of a deleted company stay, without a company.

        Args:
            contact_ids: the contacts.
            unindex: whether the search index forgets them as well.
        """
        gone = contact_ids & self.alive
        self.last_links.keep(self, gone)
        self.alive -= gone
        self.deletable -= gone
        self.departed |= gone
        if not unindex:
            self.stale |= gone
        self.links.cut(gone)
        self.participation.leave(gone)
        return gone

    def create(self, contact_ids: Iterable[int]) -> None:
        """Create contacts with these IDs; those that are there already stay as they are."""
        new = BitMap(contact_ids) - self.alive
        self.alive |= new
        self.stale -= new
        self.departed -= new
        self.attributes.forget(new)
        self.profile.forget(new)
        self.creation.forget(new)
        self.last_links.forget(new)
        for contact_id in new if self.links.any else ():
            self.links.join(contact_id, None)
        self._companies |= self.attributes.companies_among(new)
        for keep, those in self._those.values():
            those.update(filter(keep, new))
        self.deletable |= new - self.invisible - self.read_only - self.invoiced

    def set_kind(self, contact_id: int, *, company: bool) -> None:
        """Say that the contact is a company, or a person."""
        self.attributes.set_kind(contact_id, company=company)
        (self._companies.add if company else self._companies.discard)(contact_id)

    def _company_before(self, person: int) -> int | None:
        company = person - (person - 3) % 5
        return company if 0 < company < person and company in self.existed else None

    def _varied_company(self, person: int) -> int | None:
        """Return the company before the person, for some of the persons."""
        if person % 5 == 1 or self.is_company(person):
            return None
        company = self._company_before(person)
        return company if company is not None and self.is_company(company) else None


def _numbered(count: int) -> BitMap:
    numbered = BitMap()
    numbered.add_range(1, count + 1)
    numbered.run_optimize()
    return numbered


def _choose(everyone: BitMap, selections: list[Selection], seed: int) -> list[BitMap]:
    """Turn every selection into IDs; those picked for a number are disjoint from all others."""
    explicit = [BitMap() if isinstance(selection, int) else BitMap(selection) for selection in selections]
    free = everyone - BitMap.union(BitMap(), *explicit)
    wanted = [selection if isinstance(selection, int) else 0 for selection in selections]
    if sum(wanted) > len(free):
        raise ValueError(f"cannot pick {sum(wanted)} contacts: only {len(free)} are left to pick from")
    picked = iter(seeded("world", seed).sample(range(len(free)), sum(wanted)))
    return [
        given or BitMap(free[next(picked)] for _ in range(count)) for given, count in zip(explicit, wanted, strict=True)
    ]


def _some(everyone: BitMap, seed: int, what: str, selection: Selection) -> BitMap:
    """Turn one selection into IDs, independently of all others."""
    if not isinstance(selection, int):
        return BitMap(selection)
    if selection > len(everyone):
        raise ValueError(f"cannot pick {selection} contacts ({what}): there are only {len(everyone)}")
    return BitMap(everyone[place] for place in seeded("world", seed, what).sample(range(len(everyone)), selection))
