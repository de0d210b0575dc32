"""How the portal reads the filter of a listing, with its traps.

A parameter that it does not know is ignored, which widens the match. Of a single value only what stands before the
first comma counts. The last day of a range ends at 23:59:00.
"""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from pyroaring import BitMap

from simulator import replies as answers
from simulator.attributes import same_tag
from simulator.context import Context, parameter
from simulator.creation import parse_moment
from simulator.replies import PortalError, error
from simulator.search import search, with_persons_of_companies

T = TypeVar("T")

#: The last day of a range counts from its beginning up to here.
_DAY_ENDS_S = 86400 - 60

_VIEWS = {"all": "all", "company": "company", "person": "person", "withopportunity": "with_opportunity"} | {
    "0": "all",
    "1": "company",
    "2": "person",
    "3": "with_opportunity",
}
_NOBODY = UUID(int=0)


def matching(context: Context) -> BitMap:
    """Return the visible contacts that pass every filter of the call.

    Raises:
        PortalError: 400 if a stage or type is not a number, a user not a GUID or a date not a date.
    """
    world, about = context.world, context.world.attributes
    found = world.visible()
    view = _VIEWS.get(parameter(context.query, "contactListView").strip().lower(), "all")
    ids = _by_responsible_and_text(context, view)
    if ids is not None:
        found &= ids
    tags = [value for name, value in context.query if name.lower() in ("tags", "tags[]")]
    if len({same_tag(name) for name in tags}) < len(tags):
        return BitMap()  # the portal counts a contact's tags, and compares with the number of values
    for name in tags:
        found &= about.with_tag(name)
    if view == "company":
        found &= world.companies()
    elif view == "person":
        found -= world.companies()
    elif view == "with_opportunity":
        found &= world.with_opportunity()
    for name, groups in (("contactStage", about.stages), ("contactType", about.types)):
        number = _value(context, name, int)
        if number == 0:
            found -= BitMap.union(BitMap(), *groups.values())
        elif number is not None and number > 0:
            found &= groups.get(number, BitMap())
    shared = parameter(context.query, "isShared").strip().lower()
    if shared == "false":
        found &= world.profile.private
    elif shared == "true":
        found -= world.profile.private
    return _within_dates(context, found)


def _by_responsible_and_text(context: Context, view: str) -> BitMap | None:
    """Return the contacts of a user that a search finds, and all persons of the companies among them."""
    world = context.world
    responsible, text = _value(context, "responsibleid", UUID), parameter(context.query, "filterValue").strip()
    ids: BitMap | None = None
    if responsible == _NOBODY:
        ids = world.alive - BitMap.union(BitMap(), *world.attributes.responsible.values())
    elif responsible is not None:
        ids = world.attributes.responsible.get(str(responsible), BitMap())
    if text:
        hits = search(world, text, context.portal.behaviour.search_hit_limit)
        ids = hits if ids is None else ids & hits
        if view in ("all", "person"):
            ids = with_persons_of_companies(world, ids)
    return ids


def _within_dates(context: Context, found: BitMap) -> BitMap:
    offset = context.portal.behaviour.utc_offset_minutes

    def second(text: str) -> int:
        return parse_moment(text, offset)

    first_s, last_s = _value(context, "fromDate", second), _value(context, "toDate", second)
    if first_s is None and last_s is None:
        return found
    return context.world.creation.within(found, first_s, None if last_s is None else last_s + _DAY_ENDS_S)


def _value(context: Context, name: str, convert: Callable[[str], T]) -> T | None:
    """Return a parameter that is not a text; None if it is not there or empty."""
    text = parameter(context.query, name).strip()
    if not text:
        return None
    try:
        return convert(text)
    except ValueError:
        raise PortalError(error(400, "Input string was not in a correct format.", answers.FORMAT)) from None
