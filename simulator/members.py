"""The members of a contact's JSON that depend on its attributes.

The portal leaves out tags, company, stage, count of persons and e-mail where there are none. It never tells a contact's
type, and it tells tags in listings alone.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from simulator.attributes import Attributes
from simulator.replies import json_text
from simulator.world import World

Detail = Literal["base", "mail", "full", "alone"]

#: A member's key, and a function of the contact that returns its JSON, or None if the contact does not have it.
Member = tuple[str, Callable[[int], str | None]]

_STAGES = ("Cold", "Warm", "Hot")


def optional_members(world: World, detail: Detail, base: Callable[[int], str] | None) -> list[Member]:
    """Return the members that not every contact has.

    Args:
        world: the contacts.
        detail: which kind of element they are for.
        base: writes another contact, for the company of a person.
    """
    about = world.attributes
    if detail == "mail":
        return [("email", lambda contact_id: email_json(about, contact_id))]
    if base is None:
        return []

    written: dict[int, str] = {}  # neighbours on a page tend to share their company

    def company(contact_id: int) -> str | None:
        company_id = None if about.is_company(contact_id) else world.company_of(contact_id)
        if company_id is None or company_id in world.invisible:
            return None
        if company_id not in written:
            written[company_id] = base(company_id)
        return written[company_id]

    def persons_count(contact_id: int) -> str | None:
        return str(len(world.persons_of(contact_id)) or "") or None if about.is_company(contact_id) else None

    def tags(contact_id: int) -> str | None:
        names = about.tags(contact_id)
        return json_text(names) if names else None

    def stage(contact_id: int) -> str | None:
        number = about.stage(contact_id)
        return _stage_json(number) if number else None

    members: list[Member] = []
    if world.links.any:
        members += [("company", company), ("personsCount", persons_count)]
    if about.stages:
        members.append(("contactStatus", stage))
    if about.tagged and detail == "full":
        members.append(("tags", tags))
    return members


def email_json(about: Attributes, contact_id: int) -> str | None:
    """Return a contact's e-mail address as the portal writes it, or None if it has none."""
    address = about.email(contact_id)
    if address is None:
        return None
    data = json_text(address) if contact_id in about.emails else f'"{address}"'
    return f'{{"infoType":1,"category":1,"categoryName":"Work","data":{data},"isPrimary":true,"id":{contact_id}}}'


def custom_fields_json(about: Attributes, contact_id: int) -> str:
    """Return a contact's custom fields as the portal writes them."""
    if not about.custom_fields:
        return "[]"
    return json_text(
        [
            {
                "entityId": contact_id,
                "label": label,
                "fieldValue": values[contact_id],
                "fieldType": 0,
                "position": number,
                "mask": "",
                "id": number,
            }
            for number, (label, values) in enumerate(about.custom_fields.items(), 1)
            if contact_id in values
        ]
    )


@lru_cache(maxsize=256)
def _stage_json(number: int) -> str:
    return json_text({"title": _STAGES[(number - 1) % 3], "color": "#4682b6", "sortOrder": number, "id": number})
