"""The JSON of opportunities and cases."""

import json
from collections.abc import Callable

from pyroaring import BitMap

from simulator.creation import moment_text, parse_moment
from simulator.currencies import currency_json
from simulator.participation import Case, Opportunity
from simulator.replies import json_text
from simulator.users import user_json
from simulator.world import World

#: Title and probability of the stages of opportunities.
STAGES = (("Initial contact", 1), ("Preapproach", 2), ("Presentation", 20), ("Negotiation", 50), ("Won", 100))


def opportunity_json(world: World, deal: Opportunity, write: Callable[[int], str], offset: int) -> str:
    """Return an opportunity as the portal writes it: zeros are left out, and so are contacts that cannot be seen.

    Args:
        world: the contacts.
        deal: the opportunity.
        write: writes a contact.
        offset: minutes of the portal's time zone.
    """
    members: dict[str, str] = {
        "createBy": user_json(deal.created_by),
        "created": _moment(deal.created, offset),
        "members": _contacts(world, deal.members, write),
    }
    if deal.contact_id and world.visible(BitMap([deal.contact_id])):
        members["contact"] = write(deal.contact_id)
    members |= {
        "title": json_text(deal.title),
        "description": json_text(deal.description),
        "responsible": user_json(deal.responsible),
    }
    numbers = {"bidType": deal.bid_type, "bidValue": deal.bid_value, "perPeriodValue": deal.per_period_value}
    members |= {key: json_text(number) for key, number in numbers.items() if number}
    members["bidCurrency"] = currency_json(deal.bid_currency)
    members["stage"] = json_text(
        {"color": "#fc8d62", "sortOrder": deal.stage, "title": STAGES[deal.stage - 1][0], "id": deal.stage}
    )
    members |= {"successProbability": str(deal.probability)} if deal.probability else {}
    for key, moment in (("actualCloseDate", deal.actual_close), ("expectedCloseDate", deal.expected_close)):
        members |= {key: _moment(moment, offset)} if moment else {}
    return _object(members | _access(deal) | {"customFields": "[]", "id": str(deal.id)})


def case_json(world: World, case: Case, write: Callable[[int], str], offset: int) -> str:
    """Return a case as the portal writes it; the arguments are those of :func:`opportunity_json`."""
    members: dict[str, str] = {
        "members": _contacts(world, case.members, write),
        "createBy": user_json(case.created_by),
        "created": _moment(case.created, offset),
        "title": json_text(case.title),
        "isClosed": json_text(case.closed),
    }
    return _object(members | _access(case) | {"customFields": "[]", "id": str(case.id)})


def _contacts(world: World, members: BitMap, write: Callable[[int], str]) -> str:
    return f"[{','.join(map(write, world.visible(members)))}]"


def _access(group: Opportunity | Case) -> dict[str, str]:
    access = {"accessList": f"[{','.join(map(user_json, group.access))}]"} if group.private else {}
    return {"isPrivate": json_text(group.private)} | access | {"canEdit": "true"}


def _moment(text: str, offset: int) -> str:
    second = parse_moment(text, offset)
    return json_text(moment_text(second, offset))


def _object(members: dict[str, str]) -> str:
    return f"{{{','.join(f'{json.dumps(key)}:{value}' for key, value in members.items())}}}"
