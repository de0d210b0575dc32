"""``GET crm/contact/filter``: pages of contacts, with the portal's own arithmetic.

``nextIndex`` is one too large, the default order is unstable within an import block, and ``total`` comes from a count
that is cached for a minute.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from pyroaring import BitMap

from simulator.context import Context, int_parameter, parameter
from simulator.filtering import matching
from simulator.latency import spend
from simulator.replies import Answer, success
from simulator.world import World

#: How long the portal caches a count.
TOTAL_KEPT_S = 60.0

_IN_MEMORY: dict[str, Callable[[World, int], Any]] = {
    "displayname": lambda world, contact_id: world.attributes.name(contact_id),
    "firstname": lambda world, contact_id: world.attributes.name(contact_id),
    "lastname": lambda world, contact_id: world.attributes.name(contact_id).split()[::-1],
    "contacttype": lambda world, contact_id: world.attributes.stage(contact_id),  # the portal sorts by stage
    "history": lambda world, contact_id: world.creation.second(contact_id),
}


async def list_contacts(context: Context) -> Answer:
    """Answer with one page of the matching contacts."""
    portal, query = context.portal, context.query
    limit = portal.behaviour.page_limit
    count = int_parameter(query, "count", limit)
    count = min(count, limit) if count >= 0 else limit
    start = max(0, int_parameter(query, "startIndex", 0))
    sort_by = parameter(query, "sortBy").lower() or "created"
    known = sort_by in _IN_MEMORY or sort_by in ("id", "created")
    await spend(portal.latency.reading_s(count if known else len(matching(context))) + context.delay_s)
    found = matching(context)  # together with the records, so that no edit comes in between
    fetched = list(_ordered(context, found, sort_by, start, (count or 1) + 1))
    items = fetched[: count or 1]
    more = len(fetched) > len(items)
    return success(
        context.writer("full").write_all(items),
        count=len(items),
        start_index=start,
        next_index=start + count + 1 if more else 0,
        total=_total(context, len(found)) if more else start + len(items),
        casing=portal.behaviour.envelope_casing,
    )


def _ordered(context: Context, found: BitMap, sort_by: str, start: int, count: int) -> Iterable[int]:
    descending = parameter(context.query, "sortOrder") == "descending"
    if sort_by == "id":
        return _by_id(found, start, count, descending=descending)
    if sort_by in _IN_MEMORY:
        key, world = _IN_MEMORY[sort_by], context.world
        in_order: list[int] = sorted(found, key=lambda contact_id: key(world, contact_id), reverse=descending)
        return in_order[start : start + count]
    if sort_by != "created":  # unknown: not paged by the database, hence in its own order
        return _by_id(found, start, count, descending=False)
    newest_first = descending or not parameter(context.query, "sortBy")
    creation = context.world.creation
    return creation.page(found, start, count, newest_first=newest_first, salt=context.call.number)


def _by_id(found: BitMap, start: int, count: int, *, descending: bool) -> list[int]:
    if not descending:
        return list(found[start : start + count])
    end = max(0, len(found) - start)
    return list(found[max(0, end - count) : end])[::-1]


def _total(context: Context, now_matching: int) -> int:
    """Return the count, which may be up to a minute old."""
    ignored = ("startindex", "count", "sortby", "sortorder", "fields")
    key = repr(sorted(pair for pair in context.query if pair[0].lower() not in ignored))
    kept = context.portal.cached_totals.get(key)
    if kept is None or time.monotonic() - kept[0] >= TOTAL_KEPT_S:
        kept = context.portal.cached_totals[key] = time.monotonic(), now_matching
    return kept[1]
