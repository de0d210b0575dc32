"""Which contacts match a filter as it is meant: what a campaign ought to select, whatever the portal's listing says.

Shares no code with the listing, so that each can find the other's mistakes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Literal

from pyroaring import BitMap

if TYPE_CHECKING:
    from simulator.world import World

View = Literal["all", "company", "person", "with_opportunity"]


def select(
    world: World,
    *,
    tags: Iterable[str] = (),
    without_tags: Iterable[str] = (),
    view: View = "all",
    stage: int | None = None,
    type: int | None = None,  # noqa: A002 - the filter's own word
    responsible: str | None = None,
    created_from: date | str | None = None,
    created_to: date | str | None = None,
    without_email: bool = False,
    text: str | None = None,
) -> BitMap:
    """Return the visible contacts that match every member of a filter.

    Args:
        world: the contacts.
        tags: they have all of these.
        without_tags: they have none of these.
        view: kind of contact.
        stage: their stage; 0 for none.
        type: their type; 0 for none.
        responsible: GUID of a user who is responsible for them.
        created_from: the first day of their creation, on the portal's clock.
        created_to: the last day, to its last second.
        without_email: they have no e-mail address.
        text: words of which each occurs in their name and note, their details, one of their custom fields or one of
            their history events; or, in the views ``all`` and ``person``, in those of the company they belong to.

    Raises:
        ValueError: a day is not an ISO date, or there is no such view.
    """
    about = world.attributes
    wanted, unwanted = [_folded(name) for name in tags], {_folded(name) for name in without_tags}
    counts_company = view in ("all", "person")
    first, last = _day(created_from), _day(created_to)
    with_opportunity = world.with_opportunity()
    if view not in ("all", "company", "person", "with_opportunity"):
        raise ValueError(f"there is no view {view!r}")

    def matches(contact_id: int) -> bool:
        if wanted or unwanted:
            has = {_folded(name) for name in about.tags(contact_id)}
            if not has.issuperset(wanted) or not has.isdisjoint(unwanted):
                return False
        created = world.creation.moment(contact_id).date() if first or last else date.min
        return (
            (view not in ("company", "person") or about.is_company(contact_id) == (view == "company"))
            and (view != "with_opportunity" or contact_id in with_opportunity)
            and (stage is None or about.stage(contact_id) == stage)
            and (type is None or about.type(contact_id) == type)
            and (responsible is None or responsible.lower() in about.responsible_for(contact_id))
            and (first is None or created >= first)
            and (last is None or created <= last)
            and (not without_email or not (about.email(contact_id) or world.profile.has_other_email(contact_id)))
            and (
                text is None
                or _says(world, contact_id, text)
                or (counts_company and _company_says(world, contact_id, text))
            )
        )

    candidates = world.alive - world.invisible
    for name in wanted:  # only to be quick in a large world
        candidates &= BitMap.union(BitMap(), *(ids for known, ids in about.tagged.items() if _folded(known) == name))
    return BitMap(filter(matches, candidates))


def _says(world: World, contact_id: int, text: str) -> bool:
    about = world.attributes
    documents = [
        f"{about.name(contact_id)} {about.note(contact_id)}",
        about.email(contact_id) or "",
        *(info.data for info in world.profile.details.of(contact_id)),
        *about.fields(contact_id).values(),
        *about.events.get(contact_id, []),
    ]
    words = text.lower().split()
    return any(all(word in document.lower() for word in words) for document in documents)


def _company_says(world: World, contact_id: int, text: str) -> bool:
    company = world.company_of(contact_id)
    return company is not None and _says(world, company, text)


def _folded(name: str) -> str:
    return name.strip().lower()


def _day(day: date | str | None) -> date | None:
    return date.fromisoformat(day) if isinstance(day, str) else day
