"""The JSON of one contact.

Nearly all of it follows from the ID, so little needs to be stored. A writer is prepared once for a set of
fields and then fills a template, because writing the answer is most of the work of a deletion.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal

from simulator.attributes import NOTE
from simulator.members import Detail, custom_fields_json, email_json, optional_members
from simulator.naming import NAMES, display_name
from simulator.replies import json_text
from simulator.world import World

Casing = Literal["camel", "pascal", "upper_id"]

_PHOTO = "/products/crm/httphandlers/filehandler.ashx?action=contactphotoulr&cid=%(id)d&isc=%(company)s&ps={size}"

#: The template of each field's value; ``%(…)s`` is filled in per contact.
_BASE: dict[str, str] = {
    "displayName": "%(name)s",
    "isCompany": "%(company)s",
    "isPrivate": "false",
    "isShared": "true",
    "shareType": "1",
    "currency": "null",
    "canEdit": "%(edit)s",
    "canDelete": "%(delete)s",
    "id": "%(id)d",
    "smallFotoUrl": json_text(_PHOTO.format(size=1)),
    "mediumFotoUrl": json_text(_PHOTO.format(size=2)),
}
_FULL: dict[str, str] = _BASE | {
    "created": '"%(created)s"',
    "about": "%(about)s",
    "commonData": "[%(email)s]",
    "customFields": "%(fields)s",
    "haveLateTasks": "false",
}
_DETAILS: dict[Detail, dict[str, str]] = {"base": _BASE, "mail": _BASE, "full": _FULL, "alone": _FULL}


class ElementWriter:
    """Writes contacts as the portal's JSON.

    Args:
        world: knows what each contact is and what the account may do with it.
        fields: lower-case names of the properties to write; empty for all.
        casing: casing of the keys.
        detail: ``base`` as in the answer to a deletion, ``mail`` as in the bulk look-up, ``full`` as in listings,
            ``alone`` as when one contact is read: without its tags.
        deleted: whether the contacts were just deleted; the rights to them are then no longer looked up.
        utc_offset_minutes: the offset of the portal's time zone, for dates.
    """

    def __init__(
        self,
        world: World,
        fields: frozenset[str] = frozenset(),
        *,
        casing: Casing = "camel",
        detail: Detail = "base",
        deleted: bool = False,
        utc_offset_minutes: int = 0,
    ) -> None:
        self._world = world
        self._deleted = deleted
        self._offset = utc_offset_minutes
        self._template = _template(fields, casing, detail)
        self._full = detail in ("full", "alone")
        self._members = self._optional_members(fields, casing, detail)
        self._only_id = self._template.replace("%(id)d", "") if fields == {"id"} else None

    def write_all(self, contact_ids: Iterable[int]) -> str:
        """Return the contacts as one JSON array, in the given order."""
        if self._only_id is not None:
            head, tail = self._only_id[:-1], self._only_id[-1]
            between = f"{tail},{head}"
            numbers = between.join(map(str, contact_ids))
            return f"[{head}{numbers}{tail}]" if numbers else "[]"
        return f"[{','.join(map(self._element(), contact_ids))}]"

    def write(self, contact_id: int) -> str:
        """Return one contact as a JSON object."""
        return self._element()(contact_id)

    def _element(self) -> Callable[[int], str]:
        template, world, deleted, full = self._template, self._world, self._deleted, self._full
        about, members, named = world.attributes, self._members, world.attributes.names

        def write(contact_id: int) -> str:
            company = about.is_company(contact_id)
            values = {
                "id": contact_id,
                "name": json_text(about.name(contact_id))
                if contact_id in named
                else _quoted_name(contact_id % NAMES, company),
                "company": "true" if company else "false",
                "edit": "true" if deleted or world.can_edit(contact_id) else "false",
                "delete": "true" if deleted or world.can_delete(contact_id) else "false",
            }
            if full:
                values["created"] = world.creation.text(contact_id, self._offset)
                values["about"] = json_text(about.note(contact_id)) if contact_id in about.notes else _NOTE
                values["email"] = email_json(about, contact_id) or ""
                values["fields"] = custom_fields_json(about, contact_id)
            element = template % values
            if members:
                more = [f'"{key}":{text}' for key, member in members if (text := member(contact_id)) is not None]
                if more:
                    element = f"{element[:-1]}{',' if len(element) > 2 else ''}{','.join(more)}}}"
            return element

        return write

    def _optional_members(
        self, fields: frozenset[str], casing: Casing, detail: Detail
    ) -> list[tuple[str, Callable[[int], str | None]]]:
        """Return the members that an element has only if there is something to say, with the casing of their keys."""
        base = ElementWriter(self._world, casing=casing).write if self._full else None
        members = optional_members(self._world, detail, base)
        return [(_cased(key, casing), member) for key, member in members if not fields or key.lower() in fields]


_NOTE = json_text(NOTE)


@lru_cache(maxsize=2 * NAMES)
def _quoted_name(contact_id: int, company: bool) -> str:
    return json_text(display_name(contact_id, company=company))


@lru_cache(maxsize=256)
def _template(fields: frozenset[str], casing: Casing, detail: Detail) -> str:
    pairs = [(key, value) for key, value in _DETAILS[detail].items() if not fields or key.lower() in fields]
    return "{" + ",".join(f'"{_cased(key, casing)}":{value}' for key, value in pairs) + "}"


def _cased(key: str, casing: Casing) -> str:
    if casing == "upper_id" and key == "id":
        return "ID"
    return key if casing == "camel" else key[0].upper() + key[1:]
