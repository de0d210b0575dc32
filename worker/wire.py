"""What requests look like on the wire: targets and bodies for both answer formats."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

import msgspec

#: The portal cuts off its list of deleted contacts after this many.
MAX_CONTACTS = 1000
MAX_CONTACT_ID = 2_147_483_647

JSON = "application/json"  # exactly: the portal reads a body of any other type as a form
XML = "text/xml"

API = "/api/2.0"
LOGIN_TARGET = f"{API}/authentication"

#: By default, IIS accepts query strings of up to 2048 characters.
IIS_MAX_CHARS = 2000
#: Enough for a handful of contacts at any base address.
MIN_LOOK_UP_CHARS = 256

_ContactIds: TypeAlias = list[Annotated[int, msgspec.Meta(ge=1, le=MAX_CONTACT_ID)]]

_RIGHTS = "fields=id,canEdit,canDelete"
_EACH = "&contactids="


@dataclass(frozen=True, slots=True)
class Format:
    """One answer format.

    The portal answers in XML only if the path says so and the request's own content type is not JSON, so a PUT sends
    XML as well.

    """

    name: Literal["json", "xml"]
    suffix: str = field(init=False)
    content_type: str = field(init=False)
    delete_target: str = field(init=False)

    def __post_init__(self) -> None:
        xml = self.name == "xml"
        object.__setattr__(self, "suffix", ".xml" if xml else "")
        object.__setattr__(self, "content_type", XML if xml else JSON)
        # `fields` shrinks the answer. Any other parameter would reshape it after the deletion.
        object.__setattr__(self, "delete_target", f"{API}/crm/contact{self.suffix}?fields=id")

    def look_up_target(self, contact_ids: Sequence[int]) -> str:
        """Return the target of a look-up of many contacts."""
        return f"{self._look_up_base()}{_EACH}{_EACH.join(map(str, contact_ids))}"

    def single_target(self, contact_id: int) -> str:
        """Return the target of a look-up of one contact, for portals that have no other."""
        return f"{API}/crm/contact/{contact_id}{self.suffix}?{_RIGHTS}"

    def details_target(self, contact_id: int) -> str:
        """Return the target of the record of one contact."""
        return f"{API}/crm/contact/{contact_id}{self.suffix}"

    def tags_target(self, contact_id: int) -> str:
        """Return the target of the tags of one contact."""
        return f"{API}/crm/contact/{contact_id}/tag{self.suffix}"

    def listing_target(self, start_index: int, count: int, first_cut: str = "") -> str:
        """Return the target of a page of the listing in ascending order of contact ID, the only order without ties.

        Args:
            start_index: how many contacts come before the page.
            count: contacts of the page, 1 to `MAX_CONTACTS`; 0 would mean a page of one.
            first_cut: the parameters that select contacts (`worker.first_cut`).
        """
        order = "sortBy=id&sortOrder=ascending"
        return f"{API}/crm/contact/filter{self.suffix}?{order}&count={count}&startIndex={start_index}{first_cut}"

    def look_up_capacity(self, contact_ids: Sequence[int], max_chars: int) -> int:
        """Return how many of these contact IDs, from the first on, fit into a target of this length; at least 1."""
        room = max_chars - len(self._look_up_base())
        fitting = 0
        for contact_id in contact_ids[:MAX_CONTACTS]:
            room -= len(_EACH) + len(str(contact_id))
            if room < 0:
                break
            fitting += 1
        return max(fitting, 1)

    def _look_up_base(self) -> str:
        return f"{API}/crm/contact/mail{self.suffix}?{_RIGHTS}"


def links_target(kind: str, start_index: int, count: int) -> str:
    """Return the target of a page of opportunities or cases; none of their orders is without ties.

    Args:
        kind: `opportunity` or `case`.
        start_index: how many come before the page.
        count: how many, 1 to 1000.
    """
    return f"{API}/crm/{kind}/filter?sortBy=title&sortOrder=ascending&count={count}&startIndex={start_index}"


def links_of_target(kind: str, contact_id: int, start_index: int, count: int) -> str:
    """Return the target of a page of the opportunities or cases of one contact."""
    # Without the second parameter, only the opportunities of which it is the main contact; cases have no main contact.
    return f"{links_target(kind, start_index, count)}&contactid={contact_id}&contactAlsoIsParticipant=true"


def delete_body(wire_format: Format, contact_ids: list[int]) -> bytes:
    """Return the body of a PUT, built only from integers."""
    if wire_format.name == "xml":
        items = "".join(f"<contactids>{contact_id:d}</contactids>" for contact_id in contact_ids)
        return f"<request>{items}</request>".encode()
    return msgspec.json.encode({"contactids": contact_ids})


def checked(contact_ids: Sequence[int]) -> list[int]:
    """Return the contact IDs as a list.

    Raises:
        ValueError: there are none or more than `MAX_CONTACTS`, or one is not a contact ID: a single bad element would
            make the portal reject all of them. Duplicates are harmless and not checked for.
    """
    ids = list(contact_ids)
    if not 1 <= len(ids) <= MAX_CONTACTS:
        message = f"expected 1 to {MAX_CONTACTS} contact IDs, got {len(ids)}"
        raise ValueError(message)
    try:
        # Checked in C that they are integers within bounds: in Python it would cost as much as decoding the answer.
        msgspec.convert(ids, _ContactIds)
    except msgspec.ValidationError as error:
        message = f"expected integers from 1 to {MAX_CONTACT_ID}: {error}"
        raise ValueError(message) from error
    return ids
