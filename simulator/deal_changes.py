"""The calls that change opportunities and cases: take part in one, and set everything about an opportunity."""

from functools import partial

from pyroaring import BitMap

from simulator.contact_calls import one
from simulator.context import Context
from simulator.creation import parse_moment
from simulator.deal_calls import answer_with, find_case, find_opportunity
from simulator.deal_elements import STAGES
from simulator.parameters import Parameters, access_denied, bad_argument, bad_format
from simulator.participation import Opportunity
from simulator.replies import Answer
from simulator.users import ACCOUNT

_BID_TYPES = ("FixedBid", "PerHour", "PerDay", "PerWeek", "PerMonth", "PerYear")


async def add_to_opportunity(context: Context) -> Answer:
    """``POST crm/contact/{id}/opportunity/{id}``: make a contact a member; the answer is the opportunity."""
    contact_id, deal_id = context.path_id(), context.second_path_id()
    deal = await context.commit(partial(_join_opportunity, context, deal_id, contact_id), contact_id)
    return answer_with(context, deal, status=201)


async def add_contact_to_opportunity(context: Context) -> Answer:
    """``POST crm/opportunity/{id}/contact/{id}``: the same; the answer is the contact."""
    deal_id, contact_id = context.path_id(), context.second_path_id()
    await context.commit(partial(_join_opportunity, context, deal_id, contact_id), contact_id)
    return one(context, contact_id, "alone", status=201)


async def add_to_case(context: Context) -> Answer:
    """``POST crm/case/{id}/contact``: make the contact ``contactid`` a member; the answer is the contact."""
    case_id, contact_id = context.path_id(), context.parameters().integer("contactid")
    if contact_id <= 0:
        raise bad_argument()

    def join() -> None:
        case = find_case(context, case_id)
        context.require_visible(contact_id)
        context.world.participation.join(case, contact_id)

    await context.commit(join, contact_id)
    return one(context, contact_id, "alone", status=201)


async def change_opportunity(context: Context) -> Answer:
    """``PUT crm/opportunity/{id}``: set everything about it; what is not sent is emptied, except for the members.

    It needs ``title``, ``responsibleid``, ``stageid`` and ``bidCurrencyAbbr``. The account becomes one of those who
    have access to a private opportunity.
    """
    deal_id, sent = context.path_id(), context.parameters()
    members = sent.integers("members")
    changed = _read_opportunity(context, sent)

    def change() -> Opportunity:
        deal = find_opportunity(context, deal_id)
        main = sent.integer("contactid")
        if not _complete(changed) or (main and main not in context.world.alive):
            raise bad_argument()
        if main and main in context.world.invisible:
            raise access_denied()
        for name, value in changed.items():
            setattr(deal, name, value)
        taking_part = context.world.participation
        taking_part.set_main(deal, main)
        seen = context.world.visible(BitMap([number for number in members if number > 0]))
        if members:
            taking_part.set_members(deal, seen)
        return deal

    return answer_with(context, await context.commit(change, sent.integer("contactid") or None))


def _read_opportunity(context: Context, sent: Parameters) -> dict[str, object]:
    """Return what a call says about an opportunity, by the names of its attributes."""
    users = sent.users("accessList")
    private = sent.flag("isPrivate") and bool(users)
    access = list(dict.fromkeys([*users, ACCOUNT])) if private else []  # the account never locks itself out
    return {
        "title": sent.text("title") or "",
        "description": sent.text("description") or "",
        "responsible": sent.user("responsibleid") or "",
        "bid_type": sent.choice("bidType", _BID_TYPES),
        "bid_value": sent.number("bidValue"),
        "bid_currency": (sent.text("bidCurrencyAbbr") or "").upper(),
        "per_period_value": sent.integer("perPeriodValue"),
        "stage": sent.integer("stageid"),
        "probability": min(max(sent.integer("successProbability"), 0), 100),
        "actual_close": _moment(context, sent, "actualCloseDate"),
        "expected_close": _moment(context, sent, "expectedCloseDate"),
        "private": private,
        "access": access,
    }


def _complete(changed: dict[str, object]) -> bool:
    needed = all(changed[name] for name in ("title", "responsible", "bid_currency"))
    return needed and changed["stage"] in range(1, len(STAGES) + 1)


def _moment(context: Context, sent: Parameters, name: str) -> str | None:
    text = sent.text(name)
    if not text:
        return None
    try:
        parse_moment(text, context.portal.behaviour.utc_offset_minutes)
    except ValueError:
        raise bad_format() from None
    return text


def _join_opportunity(context: Context, deal_id: int, contact_id: int) -> Opportunity:
    context.require_visible(contact_id)
    deal = find_opportunity(context, deal_id)
    context.world.participation.join(deal, contact_id)
    return deal
