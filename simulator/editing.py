"""Edits of contacts while the portal runs: one at a time, recorded, as its other users would make them."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from pyroaring import BitMap

from simulator.attributes import Attributes
from simulator.behaviour import Behaviour, EditKind
from simulator.chance import seeded
from simulator.truth import Truth
from simulator.world import MAX_CONTACT_ID, World

#: How often the editor looks whether it has been switched on, or its rate has changed.
_LOOKS_EVERY_S = 0.05
#: Seconds of a day at which it says that contacts were created: mostly the edges, which filters get wrong.
_MOMENTS = ("00:00:00", "00:00:01", "12:00:00", "23:58:59", "23:59:00", "23:59:01", "23:59:59")


def edit(truth: Truth, kind: EditKind, contact_id: int, value: Any = None) -> bool:
    """Edit one contact and record it; return whether there was anything to edit.

    Args:
        truth: the record of the portal.
        kind: what to do.
        contact_id: the contact; it must exist, except for ``create``.
        value: the tag, stage, type, address, moment or company; 0 or None for none.

    Raises:
        ValueError: the value makes no sense for this kind or contact.
    """
    world = truth.world
    if (contact_id in world.alive) == (kind == "create"):
        return False
    if kind == "create":
        truth.create([contact_id])
    elif kind == "delete":
        truth.delete_outside([contact_id])
    else:
        _set(world, kind, contact_id, value)
    truth.record_edit(kind, contact_id, value)
    return True


def _set(world: World, kind: EditKind, contact_id: int, value: Any) -> None:
    about = world.attributes
    if kind == "set_created":
        world.creation.set(contact_id, value)
    elif kind == "set_company":
        _join(world, contact_id, value or None)
    else:
        _changes(about)[kind](contact_id, value)


def _changes(about: Attributes) -> dict[EditKind, Callable[[int, Any], None]]:
    return {
        "tag": lambda contact_id, name: about.tag(name, [contact_id]),
        "untag": lambda contact_id, name: about.untag(name, [contact_id]),
        "set_stage": lambda contact_id, stage: about.set_stage(stage, [contact_id]),
        "set_type": lambda contact_id, type_: about.set_type(type_, [contact_id]),
        "set_email": about.set_email,
        "remove_email": lambda contact_id, _: about.set_email(contact_id, None),
    }


def _join(world: World, person: int, company: int | None) -> None:
    if world.is_company(person):
        raise ValueError(f"{person} is a company, it cannot belong to one")
    if company is not None and not (company in world.alive and world.is_company(company)):
        raise ValueError(f"{company} is not a company")
    world.links.join(person, company)


class Editor:
    """Edits contacts by itself, ``behaviour.edits_per_s`` times per second, in an order that the seed decides.

    Args:
        truth: returns the record of the portal as it is now.
        behaviour: how often, what and which contacts.
    """

    def __init__(self, truth: Callable[[], Truth], behaviour: Behaviour) -> None:
        self._truth = truth
        self._behaviour = behaviour
        self._random = seeded("edits", behaviour.seed)

    async def run(self) -> None:
        """Edit until cancelled."""
        last_s = time.monotonic()
        while True:
            rate, now_s = self._behaviour.edits_per_s, time.monotonic()
            if not rate:
                last_s = now_s
            wait_s = last_s + 1 / rate - now_s if rate else _LOOKS_EVERY_S
            if wait_s > 0:
                await asyncio.sleep(min(wait_s, _LOOKS_EVERY_S))
                continue
            last_s = max(last_s + 1 / rate, now_s - 1)
            self.edit_once()
            await asyncio.sleep(0)

    def edit_once(self) -> bool:
        """Make one edit; return whether there was a contact for it."""
        kind = self._random.choice(self._behaviour.edit_kinds) if self._behaviour.edit_kinds else None
        if kind is None:
            return False
        if kind == "create":
            return self._create()
        world, tag = self._truth().world, self._random.choice(self._tags())
        among = self.editable()
        if kind == "untag":
            among &= world.attributes.with_tag(tag)
        elif kind == "set_company":
            among -= world.companies()
        if not among:
            return False
        contact_id = among[self._random.randrange(len(among))]
        return edit(self._truth(), kind, contact_id, self._value(kind, contact_id, tag))

    def editable(self) -> BitMap:
        """Return the contacts that it may edit."""
        truth, behaviour = self._truth(), self._behaviour
        contacts = BitMap([number for number in behaviour.edit_ids if number <= MAX_CONTACT_ID]) | truth.created
        if behaviour.edit_from_id and truth.alive and behaviour.edit_from_id <= truth.alive.max():
            contacts.add_range(behaviour.edit_from_id, truth.alive.max() + 1)
        return contacts & truth.alive

    def _tags(self) -> list[str]:
        return self._behaviour.edit_tags or sorted(self._truth().world.attributes.tagged) or ["edited"]

    def _value(self, kind: EditKind, contact_id: int, tag: str) -> str | int | None:
        if kind in ("tag", "untag"):
            return tag
        if kind in ("set_stage", "set_type"):
            return self._random.randrange(4)
        if kind == "set_email":
            return f"new{contact_id}@example.org"
        if kind == "set_created":
            return f"2010-01-{self._random.randint(1, 31):02}T{self._random.choice(_MOMENTS)}"
        if kind == "set_company":
            companies = self.editable() & self._truth().world.companies()
            place = self._random.randrange(len(companies) + 1)
            return companies[place] if place < len(companies) else None
        return None

    def _create(self) -> bool:
        """Create the contact with the next ID; every other one gets a tag, so that filters find it."""
        truth = self._truth()
        contact_id = truth.next_id()
        if contact_id > MAX_CONTACT_ID:
            return False
        edit(truth, "create", contact_id)
        if self._random.random() < 0.5:
            edit(truth, "tag", contact_id, self._random.choice(self._tags()))
        return True
