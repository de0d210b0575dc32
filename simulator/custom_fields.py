"""The custom fields of contacts: which there are, and their values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pyroaring import BitMap

from simulator.replies import json_text
from simulator.valued import Valued

Owner = Literal["contact", "person", "company"]

TEXT, TEXT_AREA, SELECT, CHECK_BOX, HEADING, DATE = range(6)


@dataclass
class CustomField:
    """One custom field and its values.

    Attributes:
        id: its number, from 1.
        type: 0 text, 1 text area, 2 selection, 3 check box, 4 heading, 5 date.
        of: who can have it; ``contact`` is both persons and companies.
        mask: how it is shown, as the portal stores it.
        values: its value for each contact.
    """

    id: int
    label: str
    type: int = TEXT
    of: Owner = "contact"
    mask: str = ""
    values: Valued = field(default_factory=Valued)

    def is_for(self, *, company: bool) -> bool:
        """Check whether a company, or a person, can have it."""
        return self.of in ("contact", "company" if company else "person")


class CustomFields:
    """The custom fields of one portal.

    Args:
        values: the values of single contacts, by the label of the field; such fields are texts.
    """

    def __init__(self, values: Mapping[str, Mapping[int, str]] | None = None) -> None:
        self.all: list[CustomField] = []
        for label, by_contact in (values or {}).items():
            self.define(label).values = Valued(by_contact)

    def define(self, label: str, type_: int = TEXT, of: Owner = "contact", mask: str = "") -> CustomField:
        """Add a field and return it."""
        new = CustomField(max((known.id for known in self.all), default=0) + 1, label, type_, of, mask)
        self.all.append(new)
        return new

    def remove(self, field_id: int) -> None:
        """Remove a field with all its values."""
        self.all = [known for known in self.all if known.id != field_id]

    def get(self, field_id: int) -> CustomField | None:
        """Return a field by its number, or None."""
        return next((known for known in self.all if known.id == field_id), None)

    def labelled(self, label: str) -> CustomField:
        """Return the field with a label; there is one afterwards."""
        return next((known for known in self.all if known.label == label), None) or self.define(label)

    def of(self, contact_id: int) -> list[tuple[CustomField, str]]:
        """Return the fields that a contact has, with its values."""
        return [(known, value) for known in self.all if (value := known.values.of(contact_id)) is not None]

    def having(self, fits: Callable[[str], bool]) -> Iterable[int]:
        """Return the contacts with a value that fits, field by field; some of them may be gone."""
        for known in self.all:
            yield from known.values.having(fits)

    def forget(self, contact_ids: BitMap) -> None:
        """Take away the values of the contacts."""
        for known in self.all:
            known.values.forget(contact_ids)


def field_json(known: CustomField, entity_id: int, value: str | None) -> dict[str, object]:
    """Return a field with a value as the portal writes it; without one it is a definition."""
    return {
        "entityId": entity_id,
        "label": known.label,
        "fieldValue": value,
        "fieldType": known.type,
        "position": known.id,
        "mask": known.mask,
        "id": known.id,
    }


def fields_json(fields: CustomFields, contact_id: int) -> str:
    """Return a contact's custom fields as the portal writes them."""
    if not fields.all:
        return "[]"
    return json_text([field_json(known, contact_id, value) for known, value in fields.of(contact_id)])
