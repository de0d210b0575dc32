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
    """The links of deleted contacts.

    Links that follow from a formula are not written down for each contact, or deleting millions would take minutes and
    gigabytes: who was deleted in which order tells later whether they held.
    """

    def __init__(self) -> None:
        self._links: dict[int, Linked] = {}
        #: The contacts of each deletion, in order.
        self._departures: list[BitMap] = []
        #: At which of them a contact was deleted first; filled as far as has been asked for.
        self._order: dict[int, int] = {}
        self._ordered = 0

    def keep(self, world: World, contact_ids: BitMap) -> None:
        """Remember the links of contacts that are about to be deleted; later ones replace earlier ones."""
        self._departures.append(contact_ids)
        for contact_id in contact_ids & (world.participation.members() | world.links.irregular()):
            self._links[contact_id] = links_of(world, contact_id)

    def of(self, world: World, contact_id: int) -> Linked:
        """Return what a deleted contact was linked to."""
        if contact_id in self._links:
            return self._links[contact_id]
        for number in range(self._ordered, len(self._departures)):
            for departed in self._departures[number]:
                self._order.setdefault(departed, number)
        self._ordered = len(self._departures)
        left = self._order[contact_id]

        def was_there(other: int) -> bool:
            return other in world.alive or self._order.get(other, -1) >= left

        if not world.is_company(contact_id):
            company = world.links.by_formula(contact_id)
            return Linked(company if company is not None and was_there(company) else None, [], [], [])
        persons = [person for person in world.links.persons_by_formula(contact_id) if was_there(person)]
        return Linked(None, persons, [], [])

    def forget(self, contact_ids: BitMap) -> None:
        """Drop what there is about contacts whose IDs are used again; the formula links them to nobody any more."""
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
