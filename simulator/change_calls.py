"""The calls that change a contact that exists: tags, stage, custom fields, dates, company."""

from functools import partial

from simulator import replies as answers
from simulator.contact_calls import one
from simulator.context import Context
from simulator.creation import parse_moment
from simulator.custom_fields import CustomField, field_json
from simulator.latency import spend
from simulator.parameters import access_denied, bad_argument, bad_format, not_found, null_reference
from simulator.profile import PRIVATE, SHARED
from simulator.replies import Answer, PortalError, error, json_text, success

#: Stages that every portal has; others exist if contacts are in them.
_STAGES = (1, 2, 3)


async def add_tag(context: Context) -> Answer:
    """``POST crm/contact/{id}/tag``: give the contact the tag ``tagName``; a tag of that name need not exist."""
    contact_id, name = context.path_id(), context.parameters().text("tagName")
    if not name:
        raise bad_argument()

    def tag() -> None:
        context.require_visible(contact_id)
        if not name.strip():
            raise bad_argument()
        context.world.attributes.tag(name.strip(), [contact_id])

    await context.commit(tag, contact_id)
    return success(json_text(name), count=1, status=201, casing=context.portal.behaviour.envelope_casing)


async def set_stage(context: Context) -> Answer:
    """``PUT crm/contact/{id}/status``: put the contact into the stage ``contactStatusid``, 0 for none."""
    contact_id, stage = context.path_id(), context.parameters().integer("contactStatusid")
    if stage < 0:
        raise bad_argument()

    def put() -> None:
        about = context.world.attributes
        if stage and stage not in _STAGES and stage not in about.stages:
            raise not_found()
        context.require_visible(contact_id)
        if not context.world.can_edit(contact_id):
            raise access_denied()
        about.set_stage(stage, [contact_id])

    await context.commit(put, contact_id)
    return one(context, contact_id, "alone")


async def list_stages(context: Context) -> Answer:
    """``GET crm/contact/status``: the stages that contacts can be in."""
    await spend(context.portal.latency.reading_s() + context.delay_s)
    stages = sorted({*_STAGES, *context.world.attributes.stages})
    written = [{"title": f"Stage {stage}", "sortOrder": stage, "id": stage} for stage in stages]
    return success(json_text(written), count=len(stages), casing=context.portal.behaviour.envelope_casing)


async def set_access(context: Context) -> Answer:
    """``PUT crm/contact/{id}/access``: share it with all or with none, by ``isShared``, and set ``managerList``."""
    contact_id, sent = context.path_id(), context.parameters()
    share_type, managers = SHARED if sent.flag("isShared") else PRIVATE, sent.users("managerList")

    def set_both() -> None:
        world = context.world
        context.require_visible(contact_id)
        if not world.can_edit(contact_id):
            raise access_denied()
        for user in world.attributes.responsible_for(contact_id):
            world.attributes.responsible[user].discard(contact_id)
        for user in managers:
            world.attributes.set_responsible(user, [contact_id])
        world.profile.set_share_type(contact_id, share_type)

    await context.commit(set_both, contact_id)
    return one(context, contact_id, "alone")


async def set_person_field(context: Context) -> Answer:
    """``POST crm/person/{id}/customfield/{id}``; see :func:`_set_field`."""
    return await _set_field(context, company=False)


async def set_company_field(context: Context) -> Answer:
    """``POST crm/company/{id}/customfield/{id}``; see :func:`_set_field`."""
    return await _set_field(context, company=True)


async def set_contact_field(context: Context) -> Answer:
    """``POST crm/contact/{id}/customfield/{id}``: stored where no record shows it."""
    return await _set_field(context, company=None)


async def _set_field(context: Context, *, company: bool | None) -> Answer:
    """Set a custom field to ``fieldValue``, empty to remove it; 500 for an unknown field or a missing value.

    Whether there is such a contact is not checked, and neither is its kind: a value that was set for a person who is a
    company, or for a mere contact, is shown nowhere.
    """
    contact_id, field_id = int(context.path_value), int(context.path_rest)
    value = context.parameters().text("fieldValue")

    def set_value() -> CustomField:
        about = context.world.attributes
        known = about.custom_fields.get(field_id)
        if known is None or value is None:
            raise null_reference()
        if contact_id in context.world.alive and about.is_company(contact_id) == company:
            known.values.set(contact_id, value.strip() or None)
        return known

    known = await context.commit(set_value, contact_id)
    written = json_text(field_json(known, contact_id, value))
    return success(written, count=1, status=201, casing=context.portal.behaviour.envelope_casing)


async def person_field_definitions(context: Context) -> Answer:
    """``GET crm/person/customfield/definitions``: the fields that a person can have."""
    return await _definitions(context, company=False)


async def company_field_definitions(context: Context) -> Answer:
    """``GET crm/company/customfield/definitions``: the fields that a company can have."""
    return await _definitions(context, company=True)


async def contact_field_definitions(context: Context) -> Answer:
    """``GET crm/contact/customfield/definitions``: the fields that both can have."""
    return await _definitions(context, company=None)


async def _definitions(context: Context, *, company: bool | None) -> Answer:
    await spend(context.portal.latency.reading_s() + context.delay_s)
    world = context.world
    fields = [
        field_json(known, 0, None) | {"relativeItemsCount": len(known.values.ids() & world.alive)}
        for known in world.attributes.custom_fields.all
        if (known.of == "contact" if company is None else known.is_for(company=company))
    ]
    return success(json_text(fields), count=len(fields), casing=context.portal.behaviour.envelope_casing)


async def set_creation_date(context: Context) -> Answer:
    """``PUT crm/contact/{id}/creationdate``: set when the contact was created to ``creationDate``."""
    return await _set_date(context, "creationDate")


async def set_change_date(context: Context) -> Answer:
    """``PUT crm/contact/{id}/lastmodifeddate`` (sic): set when it was last changed to ``lastModifedDate`` (sic)."""
    return await _set_date(context, "lastModifedDate")


async def _set_date(context: Context, name: str) -> Answer:
    contact_id, text = int(context.path_value), context.parameters().text(name)
    try:
        moment_s = parse_moment(text, context.portal.behaviour.utc_offset_minutes) if text else None
    except ValueError:
        raise bad_format() from None

    def set_date() -> None:
        context.require_visible(contact_id)
        if moment_s is None:
            raise null_reference()
        world = context.world
        if name == "creationDate":
            world.profile.modified.setdefault(contact_id, world.creation.second(contact_id))
            world.creation.set_second(contact_id, moment_s)
        else:
            world.profile.modified[contact_id] = moment_s

    await context.commit(set_date, contact_id)
    return success("null", count=0, casing=context.portal.behaviour.envelope_casing)


async def add_person(context: Context) -> Answer:
    """``POST crm/contact/company/{id}/person``: move the person ``personid`` to the company and answer with it."""
    company, person = context.path_id(), context.parameters().integer("personid")
    if person <= 0:
        raise bad_argument()
    await context.commit(partial(_move, context, person, company), person)
    return one(context, person, "alone", status=201)


def _move(context: Context, person: int, company: int) -> None:
    context.require_visible(person)
    context.require_visible(company)
    world = context.world
    if world.is_company(person) or not world.is_company(company):
        raise PortalError(error(500, "Unable to cast object of type 'CompanyWrapper'.", answers.DATABASE))
    world.links.join(person, company)
