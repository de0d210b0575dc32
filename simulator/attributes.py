"""What contacts are like: kind, name, e-mail, tags, stage, type, responsible users, custom fields, notes, history.

Everything follows from the ID unless it was set, so only the exceptions take memory.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pyroaring import BitMap

from simulator.custom_fields import CustomFields
from simulator.naming import display_name
from simulator.valued import Valued, drop

#: The note of every contact that has no other.
NOTE = "Met at the fair"

Ids = Iterable[int]


class Attributes:
    """The attributes of the contacts of one portal.

    Args:
        companies: the IDs that are companies; None for those with ``id % 5 == 3``.
        no_email: contacts without an e-mail address; all others have one.
        tagged: the contacts that have a tag, by its name. The case of a name does not matter, as on the portal.
        stages: the contacts of a stage, by its ID; the others have none.
        types: likewise for contact types.
        responsible: the contacts that a user is responsible for, by the user's GUID; a contact can have several.
        with_opportunity: contacts that take part in an opportunity.
        names: names of contacts, where they do not follow from the ID.
        notes: likewise for notes.
        custom_fields: values of a custom field by contact, by the label of the field.
        events: the texts of a contact's history events.

    Raises:
        ValueError: two names of tags are the same to the portal, or a stage or type is not a positive number.
    """

    def __init__(
        self,
        *,
        companies: Ids | None = None,
        no_email: Ids = (),
        tagged: Mapping[str, Ids] | None = None,
        stages: Mapping[int, Ids] | None = None,
        types: Mapping[int, Ids] | None = None,
        responsible: Mapping[str, Ids] | None = None,
        with_opportunity: Ids = (),
        names: Mapping[int, str] | None = None,
        notes: Mapping[int, str] | None = None,
        custom_fields: Mapping[str, Mapping[int, str]] | None = None,
        events: Mapping[int, Iterable[str]] | None = None,
    ) -> None:
        self._companies = None if companies is None else BitMap(companies)
        self._kinds: dict[int, bool] = {}
        self._with_kind = BitMap()
        self.no_email = BitMap(no_email)
        self.emails: dict[int, str] = {}
        self.tagged = {name: BitMap(ids) for name, ids in (tagged or {}).items()}
        self.stages, self.types = _numbered(stages), _numbered(types)
        self.responsible = {user.lower(): BitMap(ids) for user, ids in (responsible or {}).items()}
        self.with_opportunity = BitMap(with_opportunity)
        self.names, self.notes = dict(names or {}), Valued(notes)
        self.person_names: dict[int, tuple[str, str]] = {}
        #: Persons whose last name is empty; their first name follows from the ID.
        self.no_last_name = BitMap()
        self.custom_fields = CustomFields(custom_fields)
        self.events = {contact_id: list(texts) for contact_id, texts in (events or {}).items()}
        if len({same_tag(name) for name in self.tagged}) < len(self.tagged):
            raise ValueError("two tags have names that the portal does not tell apart")

    # --- reading ---------------------------------------------------------------------------------------------------

    @property
    def regular_kinds(self) -> bool:
        """Whether it follows from the ID alone, for all contacts that were there from the start, what is a company."""
        return self._companies is None

    def is_company(self, contact_id: int) -> bool:
        """Check whether the contact is a company rather than a person."""
        if self._kinds and contact_id in self._kinds:
            return self._kinds[contact_id]
        return contact_id % 5 == 3 if self._companies is None else contact_id in self._companies

    def companies_among(self, contact_ids: BitMap) -> BitMap:
        """Return those of the contacts that are companies."""
        if not contact_ids:
            return BitMap()
        if self._companies is not None:
            companies = contact_ids & self._companies
        elif contact_ids.max() < 64 * len(contact_ids):
            companies = contact_ids & BitMap(range(3, contact_ids.max() + 1, 5))
        else:
            companies = BitMap(contact_id for contact_id in contact_ids if contact_id % 5 == 3)
        changed = contact_ids & self._with_kind
        return (companies - changed) | BitMap(contact_id for contact_id in changed if self._kinds[contact_id])

    def name(self, contact_id: int) -> str:
        """Return the contact's display name."""
        if self.names and contact_id in self.names:
            return self.names[contact_id]
        name = display_name(contact_id, company=self.is_company(contact_id))
        return name.split()[0] if contact_id in self.no_last_name else name

    def person_name(self, contact_id: int) -> tuple[str, str]:
        """Return a person's first and last name; a display name that was set is parted at its first space."""
        if contact_id in self.person_names:
            return self.person_names[contact_id]
        first, _, last = self.name(contact_id).partition(" ")
        return first, last

    def email(self, contact_id: int) -> str | None:
        """Return the contact's e-mail address, or None."""
        if contact_id in self.no_email:
            return None
        return self.emails.get(contact_id) or f"contact{contact_id}@example.com"

    def tags(self, contact_id: int) -> list[str]:
        """Return the names of the contact's tags in order."""
        return sorted(name for name, ids in self.tagged.items() if contact_id in ids)

    def with_tag(self, name: str) -> BitMap:
        """Return the contacts with a tag; some of them may be gone."""
        known = self._known_tag(name)
        return BitMap() if known is None else self.tagged[known]

    def stage(self, contact_id: int) -> int:
        """Return the contact's stage, 0 for none."""
        return next((stage for stage, ids in self.stages.items() if contact_id in ids), 0)

    def type(self, contact_id: int) -> int:
        """Return the contact's type, 0 for none."""
        return next((type_ for type_, ids in self.types.items() if contact_id in ids), 0)

    def responsible_for(self, contact_id: int) -> list[str]:
        """Return the GUIDs of the users who are responsible for the contact, in order."""
        return sorted(user for user, ids in self.responsible.items() if contact_id in ids)

    def note(self, contact_id: int) -> str:
        """Return the contact's note."""
        note = self.notes.of(contact_id)
        return NOTE if note is None else note

    def fields(self, contact_id: int) -> dict[str, str]:
        """Return the contact's custom fields, by label."""
        return {known.label: value for known, value in self.custom_fields.of(contact_id)}

    # --- changing --------------------------------------------------------------------------------------------------

    def forget(self, contact_ids: BitMap) -> None:
        """Drop whatever was set for these contacts, because their IDs are used again."""
        groups = (*self.tagged.values(), *self.stages.values(), *self.types.values(), *self.responsible.values())
        for ids in (*groups, self.no_email, self.with_opportunity, self.no_last_name, self._with_kind):
            ids.difference_update(contact_ids)
        stored: list[dict[int, Any]] = [self._kinds, self.emails, self.names, self.person_names, self.events]
        for values in stored:
            drop(values, contact_ids)
        self.notes.forget(contact_ids)
        self.custom_fields.forget(contact_ids)

    def set_kind(self, contact_id: int, *, company: bool) -> None:
        """Say that the contact is a company, or a person."""
        self._kinds[contact_id] = company
        self._with_kind.add(contact_id)

    def set_person_name(self, contact_id: int, first: str, last: str) -> None:
        """Give a person a first and a last name."""
        self.person_names[contact_id] = first, last
        self.names[contact_id] = f"{first} {last}".strip()

    def tag(self, name: str, contact_ids: Ids) -> None:
        """Give the contacts a tag."""
        self.tagged.setdefault(self._known_tag(name) or name, BitMap()).update(contact_ids)

    def untag(self, name: str, contact_ids: Ids) -> None:
        """Take a tag from the contacts; the tag stays."""
        self.with_tag(name).difference_update(BitMap(contact_ids))

    def set_stage(self, stage: int, contact_ids: Ids) -> None:
        """Put the contacts into a stage; 0 for none."""
        _put(self.stages, stage, BitMap(contact_ids))

    def set_type(self, type_: int, contact_ids: Ids) -> None:
        """Give the contacts a type; 0 for none."""
        _put(self.types, type_, BitMap(contact_ids))

    def set_responsible(self, user: str, contact_ids: Ids) -> None:
        """Make a user responsible for the contacts, beside the users who are."""
        self.responsible.setdefault(user.lower(), BitMap()).update(contact_ids)

    def set_email(self, contact_id: int, address: str | None) -> None:
        """Give the contact an e-mail address, or take it away."""
        self.emails.pop(contact_id, None)
        if address:
            self.emails[contact_id] = address
            self.no_email.discard(contact_id)
        else:
            self.no_email.add(contact_id)

    def _known_tag(self, name: str) -> str | None:
        if name in self.tagged:
            return name
        return next((known for known in self.tagged if same_tag(known) == same_tag(name)), None)


def same_tag(name: str) -> str:
    """Return a tag's name as the portal compares it."""
    return name.strip().lower()


def _numbered(groups: Mapping[int, Ids] | None) -> dict[int, BitMap]:
    numbered = {number: BitMap(ids) for number, ids in (groups or {}).items()}
    if any(number < 1 for number in numbered):
        raise ValueError("the IDs of stages and types are positive numbers")
    return numbered


def _put(groups: dict[int, BitMap], number: int, contact_ids: BitMap) -> None:
    for ids in groups.values():
        ids.difference_update(contact_ids)
    if number:
        groups.setdefault(number, BitMap()).update(contact_ids)
