"""The details of contacts: phones, e-mail and other addresses on the network, and postal addresses.

Each contact has the e-mail address that its attributes say. Everything else is a formula for groups of contacts, or was
stored for single ones.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pyroaring import BitMap

from simulator.replies import json_text
from simulator.valued import drop

#: The portal's kinds of details, in the order of their numbers.
KINDS = (
    "Phone", "Email", "Website", "Skype", "Twitter", "LinkedIn", "Facebook", "Address", "LiveJournal", "MySpace",
    "GMail", "Blogger", "Yahoo", "MSN", "ICQ", "Jabber", "AIM", "VK",
)  # fmt: skip
PHONE, EMAIL, WEBSITE, ADDRESS = 0, 1, 2, 7

_BASE_CATEGORIES = ("Home", "Work", "Other")
_CATEGORIES = {
    PHONE: ("Home", "Work", "Mobile", "Fax", "Direct", "Other"),
    ADDRESS: ("Home", "Postal", "Office", "Billing", "Other", "Work"),
}
#: The parts of a postal address.
PARTS = ("street", "city", "state", "zip", "country")


class Info(NamedTuple):
    """One detail; that of an address is the JSON of its parts."""

    kind: int
    category: int
    data: str
    primary: bool
    #: The number of the detail on the portal.
    id: int


#: What an address says besides its text.
Form = tuple[int, bool, int]


class Details:
    """The details of the contacts of one portal, apart from their first e-mail address.

    Args:
        stored: the details of single contacts.
    """

    def __init__(self, stored: Mapping[int, Iterable[Info]] | None = None) -> None:
        self._stored = {contact_id: list(infos) for contact_id, infos in (stored or {}).items()}
        self._formulas: list[tuple[BitMap, Callable[[int], Info]]] = []
        #: Category, importance and number of a first e-mail address, where they are not the usual ones.
        self._email_forms: dict[int, Form] = {}
        self._newest_id = 2_000_000_000

    def __bool__(self) -> bool:
        """Return whether any contact can have details besides an e-mail address."""
        return bool(self._stored or self._formulas)

    def of(self, contact_id: int) -> list[Info]:
        """Return the details of a contact, apart from its first e-mail address."""
        made = [formula(contact_id) for ids, formula in self._formulas if contact_id in ids]
        return made + self._stored.get(contact_id, [])

    def email_form(self, contact_id: int) -> Form:
        """Return category, importance and number of the contact's first e-mail address."""
        return self._email_forms.get(contact_id, (1, True, contact_id))

    def having(self, fits: Callable[[str], bool]) -> BitMap:
        """Return the contacts with a detail that fits; some of them may be gone."""
        found = BitMap(
            contact_id for contact_id, infos in self._stored.items() if any(fits(info.data) for info in infos)
        )
        for ids, formula in self._formulas:
            found |= BitMap(contact_id for contact_id in ids if fits(formula(contact_id).data))
        return found

    def next_id(self) -> int:
        """Return a number for a new detail."""
        self._newest_id += 1
        return self._newest_id

    def add(self, contact_id: int, info: Info) -> None:
        """Store a detail of a contact."""
        self._stored.setdefault(contact_id, []).append(info)

    def set_email_form(self, contact_id: int, form: Form) -> None:
        """Say what the contact's first e-mail address is besides its text."""
        self._email_forms[contact_id] = form

    def follow(self, contact_ids: BitMap, formula: Callable[[int], Info]) -> None:
        """Give each of the contacts a detail by a formula."""
        self._formulas.append((contact_ids, formula))

    def forget(self, contact_ids: BitMap) -> None:
        """Take away the details of the contacts."""
        for ids, _ in self._formulas:
            ids.difference_update(contact_ids)
        drop(self._stored, contact_ids)
        drop(self._email_forms, contact_ids)


def categories(kind: int) -> tuple[str, ...]:
    """Return the categories of a kind of detail, in the order of their numbers."""
    return _CATEGORIES.get(kind, _BASE_CATEGORIES)


def category_name(kind: int, category: int) -> str:
    """Return the name of a category; the portal shows the number of one that it does not know."""
    names = categories(kind)
    return names[category] if 0 <= category < len(names) else str(category)


def address_data(parts: Mapping[str, Any]) -> str:
    """Return a postal address as it is stored."""
    return json_text({part: str(parts.get(part) or "") for part in PARTS})


def info_json(info: Info) -> str:
    """Return a detail as the portal writes it."""
    return (
        f'{{"infoType":{info.kind},"category":{info.category},'
        f'"categoryName":{_quoted(category_name(info.kind, info.category))},'
        f'"data":{json_text(info.data)},"isPrimary":{"true" if info.primary else "false"},"id":{info.id}}}'
    )


_quoted = lru_cache(maxsize=64)(json_text)
