"""The calls that add details to a contact: phones, e-mail and postal addresses, sites."""

import json
from typing import Any

from pyroaring import BitMap

from simulator.context import Context
from simulator.details import ADDRESS, EMAIL, KINDS, PARTS, Info, address_data, categories, info_json
from simulator.parameters import bad_argument, bad_format, not_found, to_integer
from simulator.replies import Answer, success


async def add_details(context: Context) -> Answer:
    """``POST crm/contact/{id}/batch``: add all of ``items``: ``infoType``, ``category``, ``data``, ``isPrimary``.

    The data of an address is JSON. Numbers of categories are not checked, and an empty list is no mistake.
    """
    contact_id = context.path_id()
    infos = [_item(element) for element in context.parameters().elements("items")]

    def add() -> list[Info]:
        _require_editable(context, contact_id)
        checked = [info._replace(data=_checked_address(info.data)) if info.kind == ADDRESS else info for info in infos]
        return [_add(context, contact_id, info) for info in checked]

    added = await context.commit(add, contact_id)
    written = f"[{','.join(map(info_json, added))}]"
    return success(written, count=len(added), status=201, casing=context.portal.behaviour.envelope_casing)


async def replace_details(context: Context) -> Answer:
    """``PUT crm/contact/{id}/batch``: remove all details of the contact, then add all of ``items``."""
    contact_id = context.path_id()
    infos = [_item(element) for element in context.parameters().elements("items")]

    def replace() -> list[Info]:
        _require_editable(context, contact_id)
        checked = [info._replace(data=_checked_address(info.data)) if info.kind == ADDRESS else info for info in infos]
        context.world.attributes.set_email(contact_id, None)
        context.world.profile.details.forget(BitMap([contact_id]))
        return [_add(context, contact_id, info) for info in checked]

    added = await context.commit(replace, contact_id)
    written = f"[{','.join(map(info_json, added))}]"
    return success(written, count=len(added), casing=context.portal.behaviour.envelope_casing)


async def add_detail(context: Context) -> Answer:
    """``POST crm/contact/{id}/data``: add ``infoType``, ``data``, ``isPrimary``, ``category`` by its exact name."""
    contact_id, sent = context.path_id(), context.parameters()
    kind, data, category = sent.choice("infoType", KINDS), sent.text("data"), sent.text("category")
    primary = sent.flag("isPrimary")
    if not data:
        raise bad_argument()

    def add() -> Info:
        _require_editable(context, contact_id)
        if category not in categories(kind):
            raise bad_argument()
        text = _checked_address(data) if kind == ADDRESS else data
        return _add(context, contact_id, Info(kind, categories(kind).index(category), text, primary, 0))

    return await _one(context, await context.commit(add, contact_id))


async def add_address(context: Context) -> Answer:
    """``POST crm/contact/{id}/addressdata``: add ``address``: its parts, ``category`` as a number, ``isPrimary``."""
    contact_id, address = context.path_id(), context.parameters().value("address")

    def add() -> Info:
        _require_editable(context, contact_id)
        if not isinstance(address, dict):
            raise bad_argument()
        parts = _lower(address)
        category = to_integer(parts.get("category"))
        if not 0 <= category < len(categories(ADDRESS)):
            raise bad_argument()
        primary = parts.get("isprimary") in (True, "true")
        return _add(context, contact_id, Info(ADDRESS, category, address_data(parts), primary, 0))

    return await _one(context, await context.commit(add, contact_id))


async def _one(context: Context, added: Info) -> Answer:
    return success(info_json(added), count=1, status=201, casing=context.portal.behaviour.envelope_casing)


def _require_editable(context: Context, contact_id: int) -> None:
    """Refuse to add to a contact that is missing, invisible or read-only: 404 in each case."""
    if not context.world.can_edit(contact_id):
        raise not_found()


def _item(element: Any) -> Info:
    if not isinstance(element, dict):
        raise bad_format()
    item = _lower(element)
    kind = item.get("infotype")
    number = KINDS.index(kind) if kind in KINDS else to_integer(kind)
    if not 0 <= number < len(KINDS) or isinstance(item.get("data"), (dict, list)):
        raise bad_format()
    data, category = item.get("data"), to_integer(item.get("category"))
    return Info(number, category, "" if data is None else str(data), item.get("isprimary") in (True, "true"), 0)


def _checked_address(data: str) -> str:
    """Return the stored form of an address, or refuse data that is not one."""
    try:
        parts = json.loads(data)
    except ValueError:
        raise bad_argument() from None
    if not isinstance(parts, dict) or any(isinstance(parts.get(part), (dict, list)) for part in PARTS):
        raise bad_argument()
    return address_data(_lower(parts))


def _add(context: Context, contact_id: int, info: Info) -> Info:
    """Store a detail under a new number. The first e-mail address becomes the one that filters know."""
    about, details = context.world.attributes, context.world.profile.details
    new = info._replace(id=details.next_id())
    if new.kind == EMAIL and new.data and about.email(contact_id) is None:
        about.set_email(contact_id, new.data)
        details.set_email_form(contact_id, (new.category, new.primary, new.id))
    else:
        details.add(contact_id, new)
    return new


def _lower(members: dict[str, Any]) -> dict[str, Any]:
    return {str(name).lower(): value for name, value in members.items()}
