"""The members of a contact's JSON that depend on its attributes.

The portal leaves out tags, company, stage, count of persons, job, industry and e-mail where there are none. It never
tells a contact's type or when it was last changed, and it tells tags in listings alone.
"""

import json
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal

from simulator.attributes import Attributes
from simulator.details import ADDRESS, EMAIL, PARTS, Info, category_name, info_json
from simulator.replies import json_text
from simulator.users import user_json
from simulator.valued import Valued
from simulator.world import World

Detail = Literal["base", "mail", "full", "alone"]

#: A member's key, and a function of the contact that returns its JSON, or None if the contact does not have it.
Member = tuple[str, Callable[[int], str | None]]

_STAGES = ("Cold", "Warm", "Hot")


def optional_members(
    world: World, detail: Detail, base: Callable[[int], str] | None, *, deleted: bool = False
) -> list[Member]:
    """Return the members that not every contact has.

    Args:
        world: the contacts.
        detail: which kind of element they are for.
        base: writes another contact, for the company of a person.
        deleted: whether the contacts were just deleted; nobody has access to them any more.
    """
    about, profile = world.attributes, world.profile
    members: list[Member] = []
    if profile.private:
        members.append(("accessList", partial(_access_json, world, deleted=deleted)))
    if detail == "mail":
        return [*members, ("email", partial(email_json, world))]
    if base is None:
        return members
    if world.links.any:
        members += _links(world, base)
    if about.stages:
        members.append(("contactStatus", partial(_stage, about)))
    if about.tagged and detail == "full":
        members.append(("tags", partial(_tags, about)))
    for key, texts in (("industry", profile.industries), ("title", profile.titles)):
        if texts:
            members.append((key, partial(_quoted_text, texts)))
    if profile.details or detail == "alone":
        members.append(("addresses", partial(_addresses_json, world, always=detail == "alone")))
    return members


def _links(world: World, base: Callable[[int], str]) -> list[Member]:
    about = world.attributes
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

    return [("company", company), ("personsCount", persons_count)]


def _tags(about: Attributes, contact_id: int) -> str | None:
    names = about.tags(contact_id)
    return json_text(names) if names else None


def _stage(about: Attributes, contact_id: int) -> str | None:
    number = about.stage(contact_id)
    return _stage_json(number) if number else None


def _quoted_text(texts: Valued, contact_id: int) -> str | None:
    text = texts.of(contact_id)
    return None if text is None else json_text(text)


def _access_json(world: World, contact_id: int, *, deleted: bool) -> str | None:
    if contact_id not in world.profile.private:
        return None
    users = [] if deleted else world.attributes.responsible_for(contact_id)
    return f"[{','.join(map(user_json, users))}]"


def _addresses_json(world: World, contact_id: int, *, always: bool) -> str | None:
    addresses = [_address(info) for info in world.profile.details.of(contact_id) if info.kind == ADDRESS]
    return json_text(addresses) if addresses or always else None


def _address(info: Info) -> dict[str, object]:
    """Return an address as the portal shows it: zeros and noes are left out, and so is its number."""
    stored = json.loads(info.data)
    shown: dict[str, object] = {part: stored[part] for part in PARTS}
    shown |= {"category": info.category} if info.category else {}
    shown["categoryName"] = category_name(ADDRESS, info.category)
    return shown | ({"isPrimary": True} if info.primary else {})


def details_writer(world: World) -> Callable[[int], str]:
    """Return what writes a contact's details, apart from postal addresses, as the portal does."""
    about, details = world.attributes, world.profile.details
    no_email, emails = about.no_email, about.emails

    def only_email(contact_id: int) -> str:
        if contact_id in no_email:
            return "[]"
        return f"[{_first_email_json(world, contact_id) if contact_id in emails else _usual_email_json(contact_id)}]"

    def write(contact_id: int) -> str:
        first = _first_email_json(world, contact_id)
        others = [info_json(info) for info in details.of(contact_id) if info.kind != ADDRESS]
        return f"[{','.join([first, *others] if first else others)}]"

    return write if details else only_email


def email_json(world: World, contact_id: int) -> str | None:
    """Return a contact's primary e-mail address as the portal writes it, or None if it has none."""
    details = world.profile.details
    if details.email_form(contact_id)[1] and (first := _first_email_json(world, contact_id)) is not None:
        return first
    return next((info_json(info) for info in details.of(contact_id) if info.kind == EMAIL and info.primary), None)


def _first_email_json(world: World, contact_id: int) -> str | None:
    about = world.attributes
    if contact_id in about.no_email:
        return None
    if contact_id in about.emails:
        category, primary, number = world.profile.details.email_form(contact_id)
        return info_json(Info(EMAIL, category, about.emails[contact_id], primary, number))
    return _usual_email_json(contact_id)


def _usual_email_json(contact_id: int) -> str:
    address = f"contact{contact_id}@example.com"
    return f'{{"infoType":1,"category":1,"categoryName":"Work","data":"{address}","isPrimary":true,"id":{contact_id}}}'


@lru_cache(maxsize=256)
def _stage_json(number: int) -> str:
    return json_text({"title": _STAGES[(number - 1) % 3], "color": "#4682b6", "sortOrder": number, "id": number})
