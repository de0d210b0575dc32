"""The calls that read opportunities and cases: page by page, by contact, one by one, and their members."""

import time
from collections.abc import Callable
from typing import TypeVar

from pyroaring import BitMap

from simulator.chance import seeded
from simulator.contact_calls import list_answer
from simulator.context import Context, int_parameter, parameter
from simulator.deal_elements import case_json, opportunity_json
from simulator.latency import spend
from simulator.listing import TOTAL_KEPT_S
from simulator.parameters import bad_format, not_found, null_reference
from simulator.participation import Case, Opportunity
from simulator.replies import Answer, success

Group = TypeVar("Group", Opportunity, Case)

_BID_TYPES = ("FixedBid", "PerHour", "PerDay", "PerWeek", "PerMonth", "PerYear")


async def list_opportunities(context: Context) -> Answer:
    """``GET crm/opportunity/filter``: a page of the opportunities, by their stages unless asked otherwise."""
    contact_id = _integer_parameter(context, "contactid")
    members_too = parameter(context.query, "contactAlsoIsParticipant").strip().lower() == "true"

    def found() -> list[Opportunity]:
        return [
            deal
            for deal in context.world.participation.opportunities.values()
            if not contact_id or deal.contact_id == contact_id or (members_too and contact_id in deal.members)
        ]

    orders: dict[str, Callable[[Opportunity], object]] = {
        "": lambda deal: (deal.stage, deal.contact_id),
        "stage": lambda deal: (deal.stage, deal.contact_id),
        "title": lambda deal: deal.title,
        "responsible": lambda deal: deal.responsible,
        "bidvalue": lambda deal: deal.bid_value,
        "dateandtime": lambda deal: deal.created,
    }
    return await _page(context, found, orders, opportunity_json)


async def list_cases(context: Context) -> Answer:
    """``GET crm/case/filter``: a page of the cases, by title unless asked otherwise."""
    contact_id = _integer_parameter(context, "contactid")
    closed = parameter(context.query, "isClosed").strip().lower()

    def found() -> list[Case]:
        return [
            case
            for case in context.world.participation.cases.values()
            if (not contact_id or contact_id in case.members) and (not closed or case.closed == (closed == "true"))
        ]

    orders: dict[str, Callable[[Case], object]] = {
        "": lambda case: case.title,
        "title": lambda case: case.title,
        "createby": lambda case: case.created_by,
        "dateandtime": lambda case: case.created,
    }
    return await _page(context, found, orders, case_json)


async def opportunities_of(context: Context) -> Answer:
    """``GET crm/opportunity/bycontact/{id}``: those in which the contact is the main one or a member, by title."""
    contact_id = int(context.path_value)
    await spend(context.portal.latency.reading_s(1) + context.delay_s)
    taking_part = context.world.participation
    deals = [taking_part.opportunities[part.opportunity_id] for part in taking_part.parts(contact_id)]
    deals.sort(key=lambda deal: deal.title)
    written = [_written(context, opportunity_json, deal) for deal in deals]
    return success(f"[{','.join(written)}]", count=len(deals), casing=context.portal.behaviour.envelope_casing)


async def read_opportunity(context: Context) -> Answer:
    """``GET crm/opportunity/{id}``."""
    await spend(context.portal.latency.reading_s(1) + context.delay_s)
    return answer_with(context, find_opportunity(context, context.path_id()))


async def read_case(context: Context) -> Answer:
    """``GET crm/case/{id}``."""
    await spend(context.portal.latency.reading_s(1) + context.delay_s)
    return answer_with(context, find_case(context, context.path_id()))


async def opportunity_contacts(context: Context) -> Answer:
    """``GET crm/opportunity/{id}/contact``: the full records of its members that the account can see."""
    await spend(context.portal.latency.reading_s(1) + context.delay_s)
    deal = find_opportunity(context, context.path_id())
    return list_answer(context, context.world.visible(deal.members), context.writer("full"))[0]


async def case_contacts(context: Context) -> Answer:
    """``GET crm/case/{id}/contact``: likewise; empty for a case that does not exist."""
    await spend(context.portal.latency.reading_s(1) + context.delay_s)
    case = context.world.participation.cases.get(context.path_id())
    members = context.world.visible(case.members) if case else BitMap()
    return list_answer(context, members, context.writer("full"))[0]


def find_opportunity(context: Context, deal_id: int) -> Opportunity:
    """Return an opportunity, or refuse the call with 404."""
    deal = context.world.participation.opportunities.get(deal_id)
    if deal is None:
        raise not_found()
    return deal


def find_case(context: Context, case_id: int) -> Case:
    """Return a case, or refuse the call with 404."""
    case = context.world.participation.cases.get(case_id)
    if case is None:
        raise not_found()
    return case


Write = Callable[..., str]


def answer_with(context: Context, group: Opportunity | Case, status: int = 200) -> Answer:
    """Answer with one opportunity or case."""
    write: Write = opportunity_json if isinstance(group, Opportunity) else case_json
    try:
        written = _written(context, write, group)
    except KeyError:  # an unknown currency is found out after it was stored
        raise null_reference() from None
    return success(written, count=1, status=status, casing=context.portal.behaviour.envelope_casing)


def _written(context: Context, write: Write, group: Opportunity | Case) -> str:
    contact = context.whole_writer("base").write
    return write(context.world, group, contact, context.portal.behaviour.utc_offset_minutes)


async def _page(
    context: Context, found: Callable[[], list[Group]], orders: dict[str, Callable[[Group], object]], write: Write
) -> Answer:
    """Answer with one page, with the arithmetic of the contacts' listing.

    Groups that are equal in the asked order come in any order. An order that the database does not know, such as by
    ID, makes the portal read all of them and sort what it has read.
    """
    portal, query = context.portal, context.query
    limit = portal.behaviour.page_limit
    count = int_parameter(query, "count", limit)
    count = min(count, limit) if count >= 0 else limit
    start = max(0, int_parameter(query, "startIndex", 0))
    sort_by = parameter(query, "sortBy").strip().lower()
    descending = parameter(query, "sortOrder") == "descending"
    await spend(portal.latency.reading_s(count if sort_by in orders else len(found())) + context.delay_s)
    groups = found()
    if sort_by in orders:
        groups = seeded("groups", context.call.number).sample(groups, len(groups))
        groups.sort(key=orders[sort_by], reverse=descending)  # type: ignore[arg-type]  # the keys of one order compare
    else:
        groups.sort(key=lambda group: group.id, reverse=descending and sort_by == "id")
    items = groups[start : start + (count or 1)]
    more = start + len(items) < len(groups)
    return success(
        f"[{','.join(_written(context, write, group) for group in items)}]",
        count=len(items),
        start_index=start,
        next_index=start + count + 1 if more else 0,
        total=_total(context, write.__name__, len(groups)) if more else start + len(items),
        casing=portal.behaviour.envelope_casing,
    )


def _total(context: Context, what: str, now: int) -> int:
    """Return the count, which may be up to a minute old."""
    ignored = ("startindex", "count", "sortby", "sortorder", "fields")
    key = what + repr(sorted(pair for pair in context.query if pair[0].lower() not in ignored))
    kept = context.portal.cached_totals.get(key)
    if kept is None or time.monotonic() - kept[0] >= TOTAL_KEPT_S:
        kept = context.portal.cached_totals[key] = time.monotonic(), now
    return kept[1]


def _integer_parameter(context: Context, name: str) -> int:
    text = parameter(context.query, name).strip()
    try:
        return int(text or 0)
    except ValueError:
        raise bad_format() from None
