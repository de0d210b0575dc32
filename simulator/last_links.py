"""What contacts were linked to when they were deleted; everything else about them stays where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pyroaring import BitMap

from simulator.participation import Part

if TYPE_CHECKING:
    from simulator.world import World


class Linked(NamedTuple):
    """What a contact is linked to."""

    company_id: int | None
    persons: list[int]
    parts: list[Part]
    cases: list[int]


class LastLinks:
    """The links of deleted contacts, of those that had any."""

    def __init__(self) -> None:
        self._links: dict[int, Linked] = {}

    def keep(self, world: World, contact_ids: BitMap) -> None:
        """Remember the links of contacts that are about to be deleted; later ones replace earlier ones."""
        everyone = world.links.any
        some = contact_ids if everyone else contact_ids & world.participation.members()
        for contact_id in some:
            links = links_of(world, contact_id)
            if any(links):
                self._links[contact_id] = links

    def of(self, contact_id: int) -> Linked:
        """Return what a deleted contact was linked to."""
        return self._links.get(contact_id) or Linked(None, [], [], [])

    def forget(self, contact_ids: BitMap) -> None:
        """Drop what there is about contacts whose IDs are used again."""
        for contact_id in contact_ids if self._links else ():
            self._links.pop(contact_id, None)


def links_of(world: World, contact_id: int) -> Linked:
    """Return what a contact is linked to now."""
    company = world.is_company(contact_id)
    return Linked(
        None if company else world.company_of(contact_id),
        list(world.persons_of(contact_id)) if company else [],
        world.participation.parts(contact_id),
        world.participation.cases_of(contact_id),
    )
