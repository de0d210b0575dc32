"""What the controls under ``/truth/`` take: changes of the contacts from outside, and whole new worlds."""

from typing import Annotated

import msgspec
from pyroaring import BitMap

from simulator.behaviour import EditKind
from simulator.editing import edit
from simulator.participation import Case, Opportunity
from simulator.truth import Truth
from simulator.world import MAX_CONTACT_ID, World

ContactId = Annotated[int, msgspec.Meta(ge=1, le=MAX_CONTACT_ID)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_CONTACT_ID)]


class NewContact(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A contact to create; what is not given follows from its ID."""

    id: ContactId
    #: Whether it is a company.
    company: bool | None = None
    name: str | None = None
    note: str | None = None
    #: An address, or empty for none.
    email: str | None = None
    tags: list[str] = []
    stage: Count = 0
    type: Count = 0
    responsible: list[str] = []
    #: An ISO date or time on the portal's clock.
    created: str | None = None
    #: The company that it belongs to.
    company_id: ContactId | None = None
    custom_fields: dict[str, str] = {}


class Changes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What ``POST /truth/world`` does, from top to bottom. Lists hold contact IDs; absent contacts are passed over."""

    create: list[ContactId | NewContact] = []
    delete: list[ContactId] = []
    add_invoice: list[ContactId] = []
    remove_invoice: list[ContactId] = []
    make_read_only: list[ContactId] = []
    make_writable: list[ContactId] = []
    hide: list[ContactId] = []
    show: list[ContactId] = []
    poison: list[ContactId] = []
    cure: list[ContactId] = []
    #: Contacts by tag.
    tag: dict[str, list[ContactId]] = {}
    untag: dict[str, list[ContactId]] = {}
    #: Contacts by stage or type, 0 for none.
    set_stage: dict[Count, list[ContactId]] = {}
    set_type: dict[Count, list[ContactId]] = {}
    #: Contacts by the GUID of a user who is responsible for them from now on.
    add_responsible: dict[str, list[ContactId]] = {}
    set_email: dict[ContactId, str] = {}
    remove_email: list[ContactId] = []
    #: ISO dates or times on the portal's clock, by contact.
    set_created: dict[ContactId, str] = {}
    #: Companies by person, 0 for none.
    set_company: dict[ContactId, Count] = {}
    #: Numbers of custom fields, opportunities and cases.
    remove_fields: list[int] = []
    remove_opportunities: list[int] = []
    remove_cases: list[int] = []

    def apply(self, truth: Truth) -> None:
        """Make the changes.

        Raises:
            ValueError: one of them makes no sense; those before it have been made.
        """
        plain = BitMap([new for new in self.create if isinstance(new, int)]) - truth.alive
        truth.create(plain)
        for contact_id in plain:
            truth.record_edit("create", contact_id, None)
        for new in self.create:
            if isinstance(new, NewContact):
                _create(truth, new)
        gone = BitMap(self.delete) & truth.alive
        truth.delete_outside(gone)
        for contact_id in gone:
            truth.record_edit("delete", contact_id, None)
        self._change_rights(truth.world)
        groups: tuple[tuple[EditKind, dict[str, list[int]] | dict[int, list[int]]], ...] = (
            ("tag", self.tag),
            ("untag", self.untag),
            ("set_stage", self.set_stage),
            ("set_type", self.set_type),
        )
        for kind, by_value in groups:
            for value, contact_ids in by_value.items():
                for contact_id in contact_ids:
                    edit(truth, kind, contact_id, value)
        for user, contact_ids in self.add_responsible.items():
            truth.world.attributes.set_responsible(user, BitMap(contact_ids) & truth.alive)
        singles: tuple[tuple[EditKind, dict[int, str] | dict[int, int]], ...] = (
            ("set_email", self.set_email),
            ("set_created", self.set_created),
            ("set_company", self.set_company),
        )
        for kind, by_contact in singles:
            for contact_id, value in by_contact.items():
                edit(truth, kind, contact_id, value)
        for contact_id in self.remove_email:
            edit(truth, "remove_email", contact_id)
        self._remove_what_is_no_contact(truth.world)

    def _remove_what_is_no_contact(self, world: World) -> None:
        for field_id in self.remove_fields:
            world.attributes.custom_fields.remove(field_id)
        world.participation.remove(self.remove_opportunities, self.remove_cases)

    def _change_rights(self, world: World) -> None:
        world.invoiced |= BitMap(self.add_invoice)
        world.invoiced -= BitMap(self.remove_invoice)
        world.read_only |= BitMap(self.make_read_only)
        world.read_only -= BitMap(self.make_writable)
        world.invisible |= BitMap(self.hide)
        world.invisible -= BitMap(self.show)
        world.poisoned |= BitMap(self.poison)
        world.poisoned -= BitMap(self.cure)
        world.settle()


def _create(truth: Truth, new: NewContact) -> None:
    if not edit(truth, "create", new.id):
        return
    world, about = truth.world, truth.world.attributes
    if new.company is not None:
        world.set_kind(new.id, company=new.company)
    for name in new.tags:
        about.tag(name, [new.id])
    about.set_stage(new.stage, [new.id])
    about.set_type(new.type, [new.id])
    for user in new.responsible:
        about.set_responsible(user, [new.id])
    if new.name is not None:
        about.names[new.id] = new.name
    if new.note is not None:
        about.notes.set(new.id, new.note)
    if new.email is not None:
        about.set_email(new.id, new.email)
    for label, value in new.custom_fields.items():
        about.custom_fields.labelled(label).values.set(new.id, value)
    if new.created is not None:
        world.creation.set(new.id, new.created)
    if new.company_id is not None:
        edit(truth, "set_company", new.id, new.company_id)


class NewCase(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A case of a new world."""

    id: ContactId
    title: str
    members: list[ContactId] = []


class NewOpportunity(NewCase, kw_only=True, forbid_unknown_fields=True):
    """An opportunity of a new world."""

    #: Its main contact, 0 for none.
    contact_id: Count = 0


class NewWorld(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What ``POST /truth/reset`` creates; see :class:`simulator.world.World`."""

    contacts: Count | list[ContactId]
    read_only: Count | list[ContactId] = 0
    invoiced: Count | list[ContactId] = 0
    invisible: Count | list[ContactId] = 0
    missing: Count | list[ContactId] = 0
    poisoned: Count | list[ContactId] = 0
    companies: Count | list[ContactId] | None = None
    no_email: Count | list[ContactId] = 0
    tagged: dict[str, Count | list[ContactId]] = {}
    stages: dict[ContactId, Count | list[ContactId]] = {}
    types: dict[ContactId, Count | list[ContactId]] = {}
    responsible: dict[str, Count | list[ContactId]] = {}
    with_opportunity: Count | list[ContactId] = 0
    private: Count | list[ContactId] = 0
    shared_to_read: Count | list[ContactId] = 0
    industries: dict[str, Count | list[ContactId]] = {}
    currencies: dict[str, Count | list[ContactId]] = {}
    opportunities: list[NewOpportunity] = []
    cases: list[NewCase] = []
    #: Whether contacts differ in all that a record tells.
    varied: bool = False
    created: dict[ContactId, str] = {}
    import_block: ContactId = 512
    import_every_s: ContactId = 60
    persons_of: dict[ContactId, list[ContactId]] = {}
    employed: bool = False
    names: dict[ContactId, str] = {}
    notes: dict[ContactId, str] = {}
    custom_fields: dict[str, dict[ContactId, str]] = {}
    events: dict[ContactId, list[str]] = {}
    seed: int = 0

    def build(self) -> World:
        """Build the world.

        Raises:
            ValueError: more contacts were asked for than there are, or an attribute makes no sense.
        """
        plain = {name: getattr(self, name) for name in self.__struct_fields__ if name not in ("opportunities", "cases")}
        return World(
            **plain,
            opportunities=[
                Opportunity(new.id, new.title, new.contact_id, BitMap(new.members)) for new in self.opportunities
            ],
            cases=[Case(new.id, new.title, BitMap(new.members)) for new in self.cases],
        )
