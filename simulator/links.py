"""Which person belongs to which company: at most one."""

from collections.abc import Callable, Iterable, Mapping

from pyroaring import BitMap


class Links:
    """The company of each person, and the persons of each company.

    Args:
        persons_of: the persons of a company, by its ID.
        company_by_formula: the company of a person for whom nothing else is known; None if it has none.
        span: for a company, the IDs that the formula can link to it.
    """

    def __init__(
        self,
        persons_of: Mapping[int, Iterable[int]] | None = None,
        company_by_formula: Callable[[int], int | None] | None = None,
        span: range = range(0),
    ) -> None:
        self._formula = company_by_formula
        self._span = span
        #: 0 for a person without a company, whatever the formula says.
        self._company_of: dict[int, int] = {}
        self._persons_of: dict[int, BitMap] = {}
        #: The persons and companies of links that were made or cut one by one.
        self._noted = BitMap()
        #: Companies that were deleted: the formula's links to them are cut, also if their ID is used again.
        self._closed = BitMap()
        for company, persons in (persons_of or {}).items():
            for person in persons:
                self.join(person, company)

    @property
    def any(self) -> bool:
        """Whether there can be any link at all."""
        return self._formula is not None or bool(self._persons_of)

    def company_of(self, person: int) -> int | None:
        """Return the company that the person belongs to, or None."""
        company = self._company_of.get(person)
        if company is None:
            company = self.by_formula(person)
            return None if company is None or company in self._closed else company
        return company or None

    def persons_of(self, company: int) -> BitMap:
        """Return the persons that belong to the company; some of them may be gone."""
        persons = self._persons_of.get(company, BitMap())
        if company in self._closed:
            return persons
        return persons | BitMap(person for person in self.persons_by_formula(company) if person not in self._company_of)

    def by_formula(self, person: int) -> int | None:
        """Return the company that the formula gives a person, whatever has become of the two since; None for none."""
        return self._formula(person) if self._formula is not None else None

    def persons_by_formula(self, company: int) -> list[int]:
        """Return the persons whom the formula gives a company, whatever has become of them since; ascending."""
        near = range(company + self._span.start, company + self._span.stop) if self._formula is not None else ()
        return [person for person in near if self.by_formula(person) == company]

    def irregular(self) -> BitMap:
        """Return the contacts whose links do not, or not only, follow from the formula."""
        near = BitMap()
        for offset in self._span if self._formula is not None else ():
            near |= self._noted.shift(-offset)
        return self._noted | near

    def join(self, person: int, company: int | None) -> None:
        """Move a person to a company, or to none."""
        self._noted.add(person)
        if company:
            self._noted.add(company)
        former = self._company_of.get(person)
        if former:
            self._persons_of[former].discard(person)
        if company or self._formula is not None:
            self._company_of[person] = company or 0
        else:
            self._company_of.pop(person, None)
        if company:
            self._persons_of.setdefault(company, BitMap()).add(person)

    def cut(self, contact_ids: BitMap) -> None:
        """Cut every link of contacts that are gone: the persons of a deleted company stay without one."""
        if self._formula is not None:
            self._closed |= contact_ids
        if not self._company_of:
            return
        for company in [contact_id for contact_id in contact_ids if contact_id in self._persons_of]:
            for person in self._persons_of.pop(company):
                self._company_of[person] = 0
        for person in [contact_id for contact_id in contact_ids if self._company_of.get(contact_id)]:
            self.join(person, None)
