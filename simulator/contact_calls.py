"""The calls about contacts whose IDs are known: delete many, look up many, read one and its parts, delete one."""

from dataclasses import replace

from pyroaring import BitMap

from simulator import replies as answers
from simulator.chance import seeded
from simulator.context import Context, int_parameter
from simulator.elements import ElementWriter
from simulator.filtering import matching
from simulator.latency import spend
from simulator.members import Detail
from simulator.parameters import access_denied, not_found
from simulator.replies import Answer, PortalError, error, json_text, success

#: The only parameters that a deletion by filter knows.
_DELETE_FILTER = frozenset(
    {"tags", "tags[]", "contactstage", "contacttype", "contactlistview", "fromdate", "todate", "filtervalue"}
)


async def delete_contacts(context: Context) -> Answer:
    """``PUT crm/contact``: delete what may be deleted, silently skip the rest."""
    contact_ids, portal = context.contact_ids(), context.portal
    if not contact_ids:
        raise PortalError(error(400, "Value cannot be null.\nParameter name: source", answers.ARGUMENT_NULL))
    asked = context.call.asked or BitMap()
    behaviour = portal.behaviour
    time_s = portal.latency.deletion_s(len(asked))
    eligible = context.world.eligible(asked)  # checked before and outside the transaction
    if eligible:
        portal.cached_totals.clear()  # before the deletion too, so that a reader can cache a stale total again
    await spend(time_s * behaviour.commit_at + context.delay_s)
    if not context.world.poisoned.isdisjoint(asked & context.world.alive):
        raise PortalError(_poisoned(behaviour.poison_status))
    if eligible:
        context.truth.commit(context.call, context.world.delete(eligible))
    await spend(time_s * (1 - behaviour.commit_at))
    in_order = _in_answer_order(context, eligible, contact_ids)
    answer, context.call.listed = list_answer(context, in_order, context.writer("base", deleted=True))
    return answer


def _in_answer_order(context: Context, eligible: BitMap, contact_ids: list[int]) -> BitMap | list[int]:
    order = context.portal.behaviour.answer_order
    if order == "id":
        return eligible
    if order == "request":
        return [contact_id for contact_id in dict.fromkeys(contact_ids) if contact_id in eligible]
    return seeded("order", context.call.number).sample(list(eligible), len(eligible))


def list_answer(context: Context, produced: BitMap | list[int], writer: ElementWriter) -> tuple[Answer, BitMap]:
    """List contacts, cut to one page; ``count=0`` lists them all. Also return which ones are listed."""
    behaviour = context.portal.behaviour
    limit = behaviour.page_limit
    count = int_parameter(context.query, "count", limit)
    page = len(produced) if count == 0 else min(count, limit) if count > 0 else limit
    start = max(0, int_parameter(context.query, "startIndex", 0))
    listed = produced if start == 0 and len(produced) <= page else produced[start : start + page]
    answer = success(
        writer.write_all(listed),
        count=len(listed),
        start_index=start,
        next_index=1 if count == 0 and not produced else 0,
        total=len(produced) if len(produced) > page or count == 0 else 0,
        casing=behaviour.envelope_casing,
    )
    return answer, listed if isinstance(listed, BitMap) else BitMap(listed)


def _poisoned(status: int) -> Answer:
    if status == 400:
        return error(400, "Value does not fall within the expected range.", answers.ARGUMENT)
    return error(500, "Object reference not set to an instance of an object", answers.ARGUMENT_NULL)


async def look_up(context: Context) -> Answer:
    """``GET crm/contact/mail``: those of the given contacts that the account can see, with its rights to each."""
    context.contact_ids()  # refuses a value that is not an integer
    asked = context.call.asked or BitMap()
    await spend(context.portal.latency.reading_s(len(context.world.visible(asked))) + context.delay_s)
    visible = context.world.visible(asked)  # together with the rights, so that no edit comes in between
    answer, _ = list_answer(context, visible, context.writer("mail"))
    return answer


async def read_contact(context: Context) -> Answer:
    """``GET crm/contact/{id}``: 404 for both missing and invisible contacts, which look the same to the caller."""
    contact_id = await _visible(context)
    return one(context, contact_id, "alone")


async def read_tags(context: Context) -> Answer:
    """``GET crm/contact/{id}/tag``: the names of the contact's tags."""
    contact_id = await _visible(context)
    names = context.world.attributes.tags(contact_id)
    return success(json_text(names), count=len(names), casing=context.portal.behaviour.envelope_casing)


async def read_persons(context: Context) -> Answer:
    """``GET crm/contact/company/{id}/person``: the persons of a company that the account can see."""
    company = await _visible(context)
    persons = context.world.visible(context.world.persons_of(company))
    answer, _ = list_answer(context, persons, context.writer("full"))
    return answer


async def _visible(context: Context) -> int:
    """Return the contact that the path names, after the time of a look-up; it must exist and be visible."""
    contact_id = context.path_id()
    await spend(context.portal.latency.reading_s(1) + context.delay_s)
    context.require_visible(contact_id)
    return contact_id


async def delete_contact(context: Context) -> Answer:
    """``DELETE crm/contact/{id}``: 404 for a missing contact, 403 for one that may not be deleted, or is invisible."""
    contact_id, portal = context.path_id(), context.portal
    context.truth.ask(context.call, [contact_id])
    time_s = portal.latency.deletion_s(1)
    await spend(time_s * portal.behaviour.commit_at + context.delay_s)
    if contact_id not in context.world.alive:
        raise not_found()
    if not context.world.can_delete(contact_id):
        raise access_denied()
    answer = one(context, contact_id, "base", deleted=True)
    context.call.listed = BitMap([contact_id])
    context.truth.commit(context.call, context.world.delete(context.call.listed, unindex=True))
    await spend(time_s * (1 - portal.behaviour.commit_at))
    return answer


async def delete_by_filter(context: Context) -> Answer:
    """``DELETE crm/contact/filter``: delete all matches at once; a parameter that it does not know widens the match."""
    known = [pair for pair in context.query if pair[0].lower() in _DELETE_FILTER]
    found = matching(replace(context, query=known))
    context.truth.ask(context.call, list(found))
    time_s = context.portal.latency.deletion_s(len(found))
    await spend(time_s * context.portal.behaviour.commit_at + context.delay_s)
    eligible = context.world.eligible(found)
    context.truth.commit(context.call, context.world.delete(eligible))
    await spend(time_s * (1 - context.portal.behaviour.commit_at))
    answer, context.call.listed = list_answer(context, eligible, context.writer("base", deleted=True))
    return answer


def one(context: Context, contact_id: int, detail: Detail, *, deleted: bool = False, status: int = 200) -> Answer:
    """Answer with one contact."""
    writer: ElementWriter = context.writer(detail, deleted=deleted)
    casing = context.portal.behaviour.envelope_casing
    return success(writer.write(contact_id), count=1, status=status, casing=casing)
