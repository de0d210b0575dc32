"""Calls of the simulated portal's reading handlers without a socket."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from simulator import Behaviour, Portal, World
from simulator.context import Context
from simulator.listing import list_contacts
from simulator.replies import Answer

Query = str | list[tuple[str, str]]


def portal_with(world: World, **switches: Any) -> Portal:
    return Portal(world, Behaviour(**switches))


def ask(
    portal: Portal, handler: Callable[[Context], Awaitable[Answer]], query: Query = "", path_value: str = ""
) -> Any:
    """Run a handler and return its envelope.

    Raises:
        PortalError: the portal refuses the call.
    """
    pairs = parse_qsl(query, keep_blank_values=True) if isinstance(query, str) else query
    context = Context(
        portal=portal,
        world=portal.world,
        truth=portal.truth,
        call=portal.truth.arrive("listing", "GET", "/api/2.0/crm/contact/filter"),
        query=pairs,
        body=b"",
        address="127.0.0.1",
        path_value=path_value,
        bound=None,
    )

    answers: list[Answer] = []

    async def answer() -> None:
        answers.append(await handler(context))

    asyncio.run(answer())
    return json.loads(answers[0].body)


def listing(portal: Portal, query: Query = "") -> Any:
    """Return the envelope of one page of the listing."""
    return ask(portal, list_contacts, query)


def ids(portal: Portal, query: Query = "") -> list[int]:
    """Return the contacts on one page of the listing, by ID unless the query says otherwise."""
    page = listing(
        portal, [("sortBy", "id"), *parse_qsl(query, keep_blank_values=True)] if isinstance(query, str) else query
    )
    return [record["id"] for record in page["response"]]


def walk(portal: Portal, query: list[tuple[str, str]], count: int, *, by_next_index: bool = False) -> list[int]:
    """Return the contacts of all pages by ID, advancing by the items received or by the portal's ``nextIndex``."""
    seen: list[int] = []
    start = 0
    while True:
        paging = [("sortBy", "id"), ("sortOrder", "ascending"), ("count", str(count)), ("startIndex", str(start))]
        page = listing(portal, [*query, *paging])
        received = [record["id"] for record in page["response"]]
        seen += received
        if by_next_index and "nextIndex" in page:
            start = page["nextIndex"]
        elif not by_next_index and received:
            start += len(received)
        else:
            return seen
