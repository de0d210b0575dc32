"""The JSON of one contact, made from its ID alone.

The name and all other details follow from the ID, so nothing needs to be stored. A writer is prepared once for a set of
fields and then fills a template, because writing the answer is most of the work of a deletion.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal

from simulator.replies import json_text
from simulator.world import World

Casing = Literal["camel", "pascal", "upper_id"]
Detail = Literal["base", "mail", "full"]

_FIRST = (
    "Ann",
    "Boris",
    "Chloé",
    "David",
    "Elena",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jürgen",
    "Kaito",
    "Lena",
    "Maya",
)
_LAST = ("Lee", "Novák", "Martin", "Okafor", "Silva", "Schmidt", "Tanaka", "O'Neill", "Ivanov", "Kaya", "Rossi")
_FIRM = ("Acme", "Globex", "Initech", "Umbrella", "Hooli", "Stark & Sons", "Wayne / Partner", "Tyrell", "Wonka")

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
_EMAIL = (
    '{"infoType":1,"category":1,"categoryName":"Work","data":"contact%(id)d@example.com","isPrimary":true,"id":%(id)d}'
)
_FULL: dict[str, str] = _BASE | {
    "created": '"%(created)s"',
    "about": '"Met at the fair"',
    "commonData": f"[{_EMAIL}]",
    "customFields": "[]",
    "tags": "%(tags)s",
    "taskCount": "0",
    "haveLateTasks": "false",
}
_DETAILS: dict[Detail, dict[str, str]] = {"base": _BASE, "mail": _BASE | {"email": _EMAIL}, "full": _FULL}

#: Contacts were imported in blocks; all contacts of a block have the same creation time.
IMPORT_BLOCK = 512


class ElementWriter:
    """Writes contacts as the portal's JSON.

    Args:
        world: knows what each contact is and what the account may do with it.
        fields: lower-case names of the properties to write; empty for all.
        casing: casing of the keys.
        detail: ``base`` as in the answer to a deletion, ``mail`` as in the bulk look-up, ``full`` as in listings.
        deleted: whether the contacts were just deleted; the rights to them are then no longer looked up.
    """

    def __init__(
        self,
        world: World,
        fields: frozenset[str] = frozenset(),
        *,
        casing: Casing = "camel",
        detail: Detail = "base",
        deleted: bool = False,
    ) -> None:
        self._world = world
        self._deleted = deleted
        self._template = _template(fields, casing, detail)
        self._full = detail == "full"
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

        def write(contact_id: int) -> str:
            company = world.is_company(contact_id)
            return template % {
                "id": contact_id,
                "name": _quoted_name(contact_id % _NAMES, company),
                "company": "true" if company else "false",
                "edit": "true" if deleted or world.can_edit(contact_id) else "false",
                "delete": "true" if deleted or world.can_delete(contact_id) else "false",
                "created": created(contact_id) if full else "",
                "tags": _tags(world, contact_id) if full else "",
            }

        return write


def display_name(contact_id: int, *, company: bool) -> str:
    """Return the name of a contact; 101 is Ann Lee, and the company 103 is Acme."""
    if company:
        return _FIRM[(contact_id - 103) % len(_FIRM)]
    return f"{_FIRST[(contact_id - 101) % len(_FIRST)]} {_LAST[(contact_id - 101) % len(_LAST)]}"


#: Names repeat after this many IDs.
_NAMES = len(_FIRST) * len(_LAST) * len(_FIRM)


@lru_cache(maxsize=2 * _NAMES)
def _quoted_name(contact_id: int, company: bool) -> str:
    return json_text(display_name(contact_id, company=company))


def created(contact_id: int) -> str:
    """Return when the contact was created: one minute per import block, in the portal's time zone."""
    return _moment(contact_id // IMPORT_BLOCK)


@lru_cache(maxsize=4096)
def _moment(minutes: int) -> str:
    day, minute = divmod(minutes, 1440)
    year, day = divmod(day, 336)
    month, day = divmod(day, 28)
    return f"{2010 + year:04}-{month + 1:02}-{day + 1:02}T{minute // 60:02}:{minute % 60:02}:00.0000000Z"


def _tags(world: World, contact_id: int) -> str:
    return json_text([name for name, ids in world.tagged.items() if contact_id in ids]) if world.tagged else "[]"


@lru_cache(maxsize=256)
def _template(fields: frozenset[str], casing: Casing, detail: Detail) -> str:
    pairs = [(key, value) for key, value in _DETAILS[detail].items() if not fields or key.lower() in fields]
    return "{" + ",".join(f'"{_cased(key, casing)}":{value}' for key, value in pairs) + "}"


def _cased(key: str, casing: Casing) -> str:
    if casing == "upper_id" and key == "id":
        return "ID"
    return key if casing == "camel" else key[0].upper() + key[1:]
