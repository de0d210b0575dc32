"""The calls that create a contact: ``POST crm/contact/person`` and ``POST crm/contact/company``.

Type, industry, currency and creator cannot be chosen: there is no type, industry or currency, and the account is the
creator.
"""

from collections.abc import Callable

from simulator.contact_calls import one
from simulator.context import Context
from simulator.parameters import Parameters, bad_argument, not_found, null_reference
from simulator.profile import PRIVATE, SHARED_TO_READ
from simulator.replies import Answer
from simulator.users import ACCOUNT

SHARE_TYPES = ("None", "ReadWrite", "Read")


async def create_person(context: Context) -> Answer:
    """``POST crm/contact/person``: 400 for an empty first name, 500 for a missing one, 404 for an unknown company.

    Parameters: ``firstName``, ``lastName`` (may be empty, but must be there), ``jobTitle``, ``companyId``, ``about``,
    ``shareType``, ``managerList`` and ``customFieldList``.
    """
    sent = context.parameters()
    company = sent.integer("companyId")
    create = _creation(context, sent, company=False)

    def commit() -> int:
        world = context.world
        if company > 0:
            context.require_visible(company)
            if not world.is_company(company):
                raise not_found()
        first, last = sent.text("firstName"), sent.text("lastName")
        if first is None or last is None:
            raise null_reference()
        if not first.strip():
            raise bad_argument()
        contact_id = create()
        world.attributes.set_person_name(contact_id, first.strip(), last.strip())
        if title := sent.text("jobTitle"):
            world.profile.titles.set(contact_id, title)
        if company > 0:
            world.links.join(contact_id, company)
        return contact_id

    return await _answer(context, commit)


async def create_company(context: Context) -> Answer:
    """``POST crm/contact/company``: 400 for an empty name; persons in ``personList`` that cannot be seen are skipped.

    Parameters: ``companyName``, ``about``, ``personList``, ``shareType``, ``managerList`` and ``customFieldList``.
    """
    sent = context.parameters()
    persons = sent.integers("personList")
    create = _creation(context, sent, company=True)

    def commit() -> int:
        world, name = context.world, (sent.text("companyName") or "").strip()
        if not name:
            raise bad_argument()
        contact_id = create()
        world.attributes.names[contact_id] = name
        for person in persons:
            if person in world.alive and person not in world.invisible and not world.is_company(person):
                world.links.join(person, contact_id)
        return contact_id

    return await _answer(context, commit)


def _creation(context: Context, sent: Parameters, *, company: bool) -> Callable[[], int]:
    """Read what persons and companies have in common; return what creates such a contact and returns its ID."""
    share_type = sent.choice("shareType", SHARE_TYPES)
    managers, values = sent.users("managerList"), sent.pairs("customFieldList")
    about_text = sent.text("about") or ""

    def create() -> int:
        world, truth = context.world, context.truth
        contact_id = truth.create_by(context.call)
        about, profile = world.attributes, world.profile
        world.set_kind(contact_id, company=company)
        about.set_email(contact_id, None)
        about.notes.set(contact_id, about_text)
        profile.creators.set(contact_id, ACCOUNT)
        profile.set_share_type(contact_id, share_type)
        for user in managers:
            about.set_responsible(user, [contact_id])
        for field_id, value in values:
            known = about.custom_fields.get(field_id)
            if known is not None and known.is_for(company=company):
                known.values.set(contact_id, value.strip())
        world.creation.set_now(contact_id, context.portal.behaviour.utc_offset_minutes)
        _restrict(context, contact_id, share_type, managers)
        return contact_id

    return create


def _restrict(context: Context, contact_id: int, share_type: int, managers: list[str]) -> None:
    """Take the account's rights to the contact, where it is neither an administrator nor responsible."""
    if context.portal.behaviour.administrator or ACCOUNT in managers:
        return
    world = context.world
    if share_type == PRIVATE:
        world.invisible.add(contact_id)
    elif share_type == SHARED_TO_READ:
        world.read_only.add(contact_id)
    world.settle()


async def _answer(context: Context, commit: Callable[[], int]) -> Answer:
    def create() -> int:
        contact_id = commit()
        context.portal.cached_totals.clear()
        context.call.wrote_to = contact_id
        return contact_id

    return one(context, await context.commit(create), "alone", status=201)
