"""Which handler answers which call, and the name of the call in fault rules and in the truth."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

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


_ROUTES = (
    Route("delete", "PUT", re.compile(r"crm/contact()"), delete_contacts),
    Route("look_up", "GET", re.compile(r"crm/contact/mail()"), look_up),
    Route("listing", "GET", re.compile(r"crm/contact/filter()"), list_contacts),
    Route("contact", "GET", re.compile(r"crm/contact/(-?\d{1,10})"), read_contact),
    Route("tags", "GET", re.compile(r"crm/contact/(\d{1,10})/tag"), read_tags),
    Route("persons", "GET", re.compile(r"crm/contact/company/(\d{1,10})/person"), read_persons),
    Route("delete_one", "DELETE", re.compile(r"crm/contact/(-?\d{1,10})"), delete_contact),
    Route("delete_by_filter", "DELETE", re.compile(r"crm/contact/filter()"), delete_by_filter),
    Route("log_in", "POST", re.compile(r"authentication(?:/([^/]+))?"), log_in, public=True, crm=False),
    Route("capabilities", "GET", re.compile(r"capabilities()"), capabilities, public=True, crm=False),
)

#: Names of the kinds of calls; calls without a route are ``other``.
KINDS = tuple(route.kind for route in _ROUTES)

_EXTENSION = re.compile(r"\.(?:json|xml|tml)$")


def find_route(method: str, path: str) -> tuple[Route | None, str]:
    """Return the route of a call and the variable part of its path.

    Args:
        method: the HTTP method.
        path: what follows ``/api/2.0/``, with or without ``.json``, ``.xml`` or ``.tml``.
    """
    bare = _EXTENSION.sub("", path).lower()
    for route in _ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(bare)):
            return route, match[1] or ""
    return None, ""
