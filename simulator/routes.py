"""Which handler answers which call, and the name of the call in fault rules and in the truth."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from simulator.change_calls import (
    add_person,
    add_tag,
    company_field_definitions,
    contact_field_definitions,
    list_stages,
    person_field_definitions,
    set_access,
    set_change_date,
    set_company_field,
    set_contact_field,
    set_creation_date,
    set_person_field,
    set_stage,
)
from simulator.contact_calls import (
    delete_by_filter,
    delete_contact,
    delete_contacts,
    look_up,
    read_contact,
    read_persons,
    read_tags,
)
from simulator.context import Context
from simulator.create_calls import create_company, create_person
from simulator.deal_calls import (
    case_contacts,
    list_cases,
    list_opportunities,
    opportunities_of,
    opportunity_contacts,
    read_case,
    read_opportunity,
)
from simulator.deal_changes import add_contact_to_opportunity, add_to_case, add_to_opportunity, change_opportunity
from simulator.detail_calls import add_address, add_detail, add_details, replace_details
from simulator.latency import spend
from simulator.listing import list_contacts
from simulator.replies import Answer, success

Handler = Callable[[Context], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One call of the portal.

    Attributes:
        kind: its name in fault rules and in the truth.
        public: whether it can be called without authentication.
        crm: whether it belongs to the CRM module.
    """

    kind: str
    method: str
    pattern: re.Pattern[str]
    handler: Handler
    public: bool = False
    crm: bool = True


async def log_in(context: Context) -> Answer:
    """``POST authentication`` and ``POST authentication/{code}``: a log-in."""
    await spend(context.portal.latency.reading_s() + context.delay_s)
    return context.portal.authentication.log_in(context.body, context.address, context.path_value or None)


async def capabilities(context: Context) -> Answer:
    """``GET capabilities``: the call that the watchdog polls."""
    await spend(context.portal.latency.reading_s() + context.delay_s)
    return success('{"ldapEnabled":false,"providers":[],"ssoLabel":"","ssoUrl":""}', count=1)


_ID = r"(\d{1,10})"

_ROUTES = (
    Route("delete", "PUT", re.compile(r"crm/contact()"), delete_contacts),
    Route("look_up", "GET", re.compile(r"crm/contact/mail()"), look_up),
    Route("listing", "GET", re.compile(r"crm/contact/filter()"), list_contacts),
    Route("contact", "GET", re.compile(r"crm/contact/(-?\d{1,10})"), read_contact),
    Route("tags", "GET", re.compile(r"crm/contact/(\d{1,10})/tag"), read_tags),
    Route("persons", "GET", re.compile(r"crm/contact/company/(\d{1,10})/person"), read_persons),
    Route("delete_one", "DELETE", re.compile(r"crm/contact/(-?\d{1,10})"), delete_contact),
    Route("delete_by_filter", "DELETE", re.compile(r"crm/contact/filter()"), delete_by_filter),
    Route("create_person", "POST", re.compile(r"crm/contact/person"), create_person),
    Route("create_company", "POST", re.compile(r"crm/contact/company"), create_company),
    Route("add_details", "POST", re.compile(rf"crm/contact/{_ID}/batch"), add_details),
    Route("set_details", "PUT", re.compile(rf"crm/contact/{_ID}/batch"), replace_details),
    Route("add_detail", "POST", re.compile(rf"crm/contact/{_ID}/data"), add_detail),
    Route("add_address", "POST", re.compile(rf"crm/contact/{_ID}/addressdata"), add_address),
    Route("add_tag", "POST", re.compile(rf"crm/contact/{_ID}/tag"), add_tag),
    Route("set_access", "PUT", re.compile(rf"crm/contact/{_ID}/access"), set_access),
    Route("stages", "GET", re.compile(r"crm/contact/status()"), list_stages),
    Route("set_stage", "PUT", re.compile(rf"crm/contact/{_ID}/status"), set_stage),
    Route("set_field", "POST", re.compile(rf"crm/person/{_ID}/customfield/{_ID}"), set_person_field),
    Route("set_field", "POST", re.compile(rf"crm/company/{_ID}/customfield/{_ID}"), set_company_field),
    Route("set_field", "POST", re.compile(rf"crm/contact/{_ID}/customfield/{_ID}"), set_contact_field),
    Route("fields", "GET", re.compile(r"crm/person/customfield/definitions"), person_field_definitions),
    Route("fields", "GET", re.compile(r"crm/company/customfield/definitions"), company_field_definitions),
    Route("fields", "GET", re.compile(r"crm/contact/customfield/definitions"), contact_field_definitions),
    Route("set_dates", "PUT", re.compile(rf"crm/contact/{_ID}/creationdate"), set_creation_date),
    Route("set_dates", "PUT", re.compile(rf"crm/contact/{_ID}/lastmodifeddate"), set_change_date),
    Route("add_person", "POST", re.compile(rf"crm/contact/company/{_ID}/person"), add_person),
    Route("opportunities", "GET", re.compile(r"crm/opportunity/filter"), list_opportunities),
    Route("opportunities_of", "GET", re.compile(rf"crm/opportunity/bycontact/{_ID}"), opportunities_of),
    Route("opportunity", "GET", re.compile(rf"crm/opportunity/{_ID}"), read_opportunity),
    Route("opportunity_contacts", "GET", re.compile(rf"crm/opportunity/{_ID}/contact"), opportunity_contacts),
    Route("add_to_opportunity", "POST", re.compile(rf"crm/contact/{_ID}/opportunity/{_ID}"), add_to_opportunity),
    Route(
        "add_to_opportunity", "POST", re.compile(rf"crm/opportunity/{_ID}/contact/{_ID}"), add_contact_to_opportunity
    ),
    Route("set_opportunity", "PUT", re.compile(rf"crm/opportunity/{_ID}"), change_opportunity),
    Route("cases", "GET", re.compile(r"crm/case/filter"), list_cases),
    Route("case", "GET", re.compile(rf"crm/case/{_ID}"), read_case),
    Route("case_contacts", "GET", re.compile(rf"crm/case/{_ID}/contact"), case_contacts),
    Route("add_to_case", "POST", re.compile(rf"crm/case/{_ID}/contact"), add_to_case),
    Route("log_in", "POST", re.compile(r"authentication(?:/([^/]+))?"), log_in, public=True, crm=False),
    Route("capabilities", "GET", re.compile(r"capabilities()"), capabilities, public=True, crm=False),
)

#: Names of the kinds of calls; calls without a route are ``other``.
KINDS = tuple(dict.fromkeys(route.kind for route in _ROUTES))

_EXTENSION = re.compile(r"\.(?:json|xml|tml)$")


def find_route(method: str, path: str) -> tuple[Route | None, tuple[str, str]]:
    """Return the route of a call and the variable parts of its path, two at the most.

    Args:
        method: the HTTP method.
        path: what follows ``/api/2.0/``, with or without ``.json``, ``.xml`` or ``.tml``.
    """
    bare = _EXTENSION.sub("", path).lower()
    for route in _ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(bare)):
            first, second = (*match.groups(""), "", "")[:2]
            return route, (first, second)
    return None, ("", "")
