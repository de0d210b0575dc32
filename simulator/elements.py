"""The JSON of one contact.

Nearly all of it follows from the ID, so little needs to be stored. A writer is prepared once for a set of
fields and then fills a template, because writing the answer is most of the work of a deletion.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

from simulator.attributes import NOTE
from simulator.currencies import currency_json
from simulator.custom_fields import fields_json
from simulator.members import Detail, details_writer, optional_members
from simulator.naming import NAMES, display_name
from simulator.profile import PRIVATE
from simulator.replies import json_text
from simulator.users import IMPORTER, user_json
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
#: The same where contacts differ in their access and currency.
_DIFFERING: dict[str, str] = {
    "isPrivate": "%(private)s",
    "isShared": "%(shared)s",
    "shareType": "%(share)d",
    "currency": "%(currency)s",
}
_FULL: dict[str, str] = {
    "created": '"%(created)s"',
    "createBy": user_json(IMPORTER),
    "about": "%(about)s",
    "commonData": "%(details)s",
    "customFields": "%(fields)s",
    "haveLateTasks": "false",
}
_PERSON = {"firstName": "%(first)s", "lastName": "%(last)s"}
_COMPANY = {"companyName": "%(name)s"}


class _Shape(NamedTuple):
    """What decides which members every element has."""

    casing: Casing
    full: bool
    company: bool
    #: Whether contacts differ in their access or currency, and whether different users created them.
    differing: bool
    creators: bool


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
        profile = world.profile
        self._differing = bool(profile.private or profile.shared_to_read or profile.currencies)
        self._full = detail in ("full", "alone")
        #: That of a person, and that of a company.
        self._templates = tuple(
            _template(fields, _Shape(casing, self._full, company, self._differing, bool(profile.creators)))
            for company in (False, True)
        )
        self._members = self._optional_members(fields, casing, detail)
        self._only_id = self._templates[0].replace("%(id)d", "") if fields == {"id"} else None

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
        templates, world, deleted = self._templates, self._world, self._deleted
        full, differing = self._full, self._differing
        about, members = world.attributes, self._members
        named, nameless, notes, fields = about.names, about.no_last_name, about.notes, about.custom_fields
        any_notes, any_fields, details = bool(notes), bool(fields.all), details_writer(world)
        created, offset = world.creation.text, self._offset
        creators, creator = bool(world.profile.creators), world.profile.creator

        def write(contact_id: int) -> str:
            company = about.is_company(contact_id)
            if contact_id in named or (nameless and contact_id in nameless):
                name, first, last = self._quoted_names(contact_id)
            else:
                name, first, last = _quoted_names(contact_id % NAMES, company)
            values = {
                "id": contact_id,
                "name": name,
                "company": "true" if company else "false",
                "edit": "true" if deleted or world.can_edit(contact_id) else "false",
                "delete": "true" if deleted or world.can_delete(contact_id) else "false",
            }
            if differing:
                self._add_access(values, contact_id)
            if full:
                values["first"], values["last"] = first, last
                values["created"] = created(contact_id, offset)
                note = notes.of(contact_id) if any_notes else None
                values["about"] = _NOTE if note is None else json_text(note)
                values["details"] = details(contact_id)
                values["fields"] = fields_json(fields, contact_id) if any_fields else "[]"
                if creators:
                    values["creator"] = user_json(creator(contact_id))
            element = templates[company] % values
            if members:
                more = [f'"{key}":{text}' for key, member in members if (text := member(contact_id)) is not None]
                if more:
                    element = f"{element[:-1]}{',' if len(element) > 2 else ''}{','.join(more)}}}"
            return element

        return write

    def _quoted_names(self, contact_id: int) -> tuple[str, str, str]:
        about = self._world.attributes
        first, last = about.person_name(contact_id)
        return json_text(about.name(contact_id)), json_text(first), json_text(last)

    def _add_access(self, values: dict[str, object], contact_id: int) -> None:
        profile = self._world.profile
        share = profile.share_type(contact_id)
        values["share"] = share
        values["private"], values["shared"] = ("true", "false") if share == PRIVATE else ("false", "true")
        values["currency"] = currency_json(profile.currencies.of(contact_id))

    def _optional_members(
        self, fields: frozenset[str], casing: Casing, detail: Detail
    ) -> list[tuple[str, Callable[[int], str | None]]]:
        """Return the members that an element has only if there is something to say, with the casing of their keys."""
        base = ElementWriter(self._world, casing=casing).write if self._full else None
        members = optional_members(self._world, detail, base, deleted=self._deleted)
        return [(_cased(key, casing), member) for key, member in members if not fields or key.lower() in fields]


_NOTE = json_text(NOTE)


@lru_cache(maxsize=2 * NAMES)
def _quoted_names(contact_id: int, company: bool) -> tuple[str, str, str]:
    """Return the display name that follows from the ID, and its two parts."""
    name = display_name(contact_id, company=company)
    first, _, last = name.partition(" ")
    return json_text(name), json_text(first), json_text(last)


@lru_cache(maxsize=256)
def _template(fields: frozenset[str], shape: _Shape) -> str:
    templates = _BASE | (_DIFFERING if shape.differing else {})
    if shape.full:
        templates |= _FULL | (_COMPANY if shape.company else _PERSON)
        templates |= {"createBy": "%(creator)s"} if shape.creators else {}
    pairs = [(key, value) for key, value in templates.items() if not fields or key.lower() in fields]
    return "{" + ",".join(f'"{_cased(key, shape.casing)}":{value}' for key, value in pairs) + "}"


def _cased(key: str, casing: Casing) -> str:
    if casing == "upper_id" and key == "id":
        return "ID"
    return key if casing == "camel" else key[0].upper() + key[1:]
