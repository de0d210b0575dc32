"""Canonical full records: all that is true of a contact, in a form in which two of them can be compared.

Numbers of details are left out and lists are in order, so that a contact that was restored without a flaw has the
record of the one that was deleted, but for ``IDENTITY``, for ``NOT_RESTORABLE``, and for the IDs in its links.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from simulator.creation import moment_text
from simulator.details import ADDRESS, EMAIL, KINDS, category_name
from simulator.last_links import links_of

if TYPE_CHECKING:
    from simulator.world import World

#: The members that tell which contact it is and what has become of it, rather than what it is like.
IDENTITY = ("id", "alive")
#: The members that no call can set, or give back.
NOT_RESTORABLE = ("created_by", "industry", "currency", "type", "events", "invoiced")


def record(world: World, contact_id: int) -> dict[str, Any]:
    """Return the record of a contact as it is, or as it was when it was deleted.

    Moments are on the portal's clock.

    Raises:
        KeyError: there never was such a contact.
    """
    alive = contact_id in world.alive
    if not alive and contact_id not in world.departed:
        raise KeyError(contact_id)
    about, profile = world.attributes, world.profile
    company = about.is_company(contact_id)
    first, last = ("", "") if company else about.person_name(contact_id)
    links = links_of(world, contact_id) if alive else world.last_links.of(world, contact_id)
    created_s = world.creation.second(contact_id)
    addresses = [
        json.loads(info.data) | {"category": category_name(ADDRESS, info.category), "primary": info.primary}
        for info in profile.details.of(contact_id)
        if info.kind == ADDRESS
    ]
    return {
        "id": contact_id,
        "alive": alive,
        "kind": "company" if company else "person",
        "display_name": about.name(contact_id),
        "first_name": first,
        "last_name": last,
        "company_name": about.name(contact_id) if company else "",
        "title": profile.titles.of(contact_id) or "",
        "about": about.note(contact_id),
        "industry": profile.industries.of(contact_id),
        "currency": profile.currencies.of(contact_id),
        "type": about.type(contact_id),
        "stage": about.stage(contact_id),
        "share_type": profile.share_type(contact_id),
        "access": about.responsible_for(contact_id),
        "details": _details(world, contact_id),
        "addresses": sorted(addresses, key=lambda address: json.dumps(address, sort_keys=True)),
        "custom_fields": [
            {"id": known.id, "label": known.label, "type": known.type, "value": value}
            for known, value in about.custom_fields.of(contact_id)
        ],
        "tags": about.tags(contact_id),
        "events": list(about.events.get(contact_id, [])),
        "created": moment_text(created_s, 0),
        "created_by": profile.creator(contact_id),
        "modified": moment_text(profile.modified.get(contact_id, created_s), 0),
        "company_id": links.company_id,
        "persons": links.persons,
        "opportunities": [
            {"id": part.opportunity_id, "main": part.main, "member": part.member} for part in links.parts
        ],
        "cases": links.cases,
        "invoiced": contact_id in world.invoiced,
        "read_only": contact_id in world.read_only,
        "invisible": contact_id in world.invisible,
    }


def _details(world: World, contact_id: int) -> list[dict[str, Any]]:
    details, address = world.profile.details, world.attributes.email(contact_id)
    found = [(info.kind, info.category, info.data, info.primary) for info in details.of(contact_id)]
    if address is not None:
        category, primary, _ = details.email_form(contact_id)
        found.append((EMAIL, category, address, primary))
    return [
        {"kind": KINDS[kind], "category": category_name(kind, category), "data": data, "primary": primary}
        for kind, category, data, primary in sorted(found)
        if kind != ADDRESS
    ]
