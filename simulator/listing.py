"""``GET crm/contact/filter``: pages of contacts, with the portal's own arithmetic.

``nextIndex`` is one too large, the default order is unstable within an import block, and ``total`` comes from a count
that is cached for a minute.
"""

import time
from collections.abc import Callable, Iterable

from pyroaring import BitMap

from simulator.chance import seeded
from simulator.context import Context, int_parameter, parameter
from simulator.elements import IMPORT_BLOCK, created, display_name
from simulator.latency import spend
from simulator.replies import Answer, success
from simulator.world import World

#: How long the portal caches a count.
TOTAL_KEPT_S = 60.0

_IN_MEMORY: dict[str, Callable[[World, int], str]] = {
    "displayname": lambda world, contact_id: display_name(contact_id, company=world.is_company(contact_id)),
    "firstname": lambda world, contact_id: display_name(contact_id, company=world.is_company(contact_id)),
    "lastname": lambda world, contact_id: display_name(contact_id, company=world.is_company(contact_id))[::-1],
    "contacttype": lambda _world, _contact_id: "",
    "history": lambda _world, contact_id: created(contact_id),
}


async def list_contacts(context: Context) -> Answer:
    """Answer with one page of the matching contacts."""
    portal, query = context.portal, context.query
    limit = portal.behaviour.page_limit
    count = int_parameter(query, "count", limit)
    count = min(count, limit) if count >= 0 else limit
    start = max(0, int_parameter(query, "startIndex", 0))
    matching = _matching(context.world, query)
    sort_by = parameter(query, "sortBy").lower() or "created"
    known = sort_by in _IN_MEMORY or sort_by in ("id", "created")
    await spend(portal.latency.reading_s(count if known else len(matching)) + context.delay_s)
    fetched = list(_ordered(context, matching, sort_by, start, (count or 1) + 1))
    items = fetched[: count or 1]
    more = len(fetched) > len(items)
    return success(
        context.writer("full").write_all(items),
        count=len(items),
        start_index=start,
        next_index=start + count + 1 if more else 0,
        total=_total(context, len(matching)) if more else start + len(items),
        casing=portal.behaviour.envelope_casing,
    )


def _matching(world: World, query: list[tuple[str, str]]) -> BitMap:
    """Return the visible contacts that pass every filter of the query."""
    matching = world.visible()
    view = parameter(query, "contactListView").lower()
    if view in ("company", "1"):
        matching &= world.those("company", world.is_company)
    elif view in ("person", "2"):
        matching -= world.those("company", world.is_company)
    for name, value in query:
        if name.lower() in ("tags", "tags[]"):
            matching &= world.tagged.get(value, BitMap())
    text = parameter(query, "filterValue").lower()
    if text:
        name_of = _IN_MEMORY["displayname"]
        matching &= world.those(("name", text), lambda contact_id: text in name_of(world, contact_id).lower())
    first, last = parameter(query, "fromDate"), parameter(query, "toDate")
    if first or last:
        within = ("created", first, last)
        matching &= world.those(within, lambda contact_id: _between(created(contact_id), first, last))
    return matching


def _between(moment: str, first: str, last: str) -> bool:
    """Check whether a date of the wire is within the range; the last day counts up to 23:59:00."""
    return (not first or moment[:10] >= first[:10]) and (not last or moment[:19] <= f"{last[:10]}T23:59:00")


def _ordered(context: Context, matching: BitMap, sort_by: str, start: int, count: int) -> Iterable[int]:
    descending = parameter(context.query, "sortOrder") == "descending"
    if sort_by == "id":
        return _by_id(matching, start, count, descending=descending)
    if sort_by in _IN_MEMORY:
        key, world = _IN_MEMORY[sort_by], context.world
        in_order = sorted(matching, key=lambda contact_id: key(world, contact_id), reverse=descending)
        return in_order[start : start + count]
    if sort_by != "created":  # unknown: not paged by the database, hence in its own order
        return _by_id(matching, start, count, descending=False)
    newest_first = descending or not parameter(context.query, "sortBy")
    return _by_creation(matching, start, count, newest_first=newest_first, salt=context.call.number)


def _by_id(matching: BitMap, start: int, count: int, *, descending: bool) -> list[int]:
    if not descending:
        return list(matching[start : start + count])
    end = max(0, len(matching) - start)
    return list(matching[max(0, end - count) : end])[::-1]


def _by_creation(matching: BitMap, start: int, count: int, *, newest_first: bool, salt: int) -> list[int]:
    """Order by import block; within a block the order differs from call to call."""
    page = _by_id(matching, start, count, descending=newest_first)
    if not page:
        return []
    low, high = min(page) // IMPORT_BLOCK, max(page) // IMPORT_BLOCK
    blocks = range(high, low - 1, -1) if newest_first else range(low, high + 1)
    first_block_start, first_block_end = blocks[0] * IMPORT_BLOCK, (blocks[0] + 1) * IMPORT_BLOCK
    before = matching.rank(first_block_start - 1) if first_block_start else 0
    skipped = start - (len(matching) - matching.rank(first_block_end - 1) if newest_first else before)
    in_order: list[int] = []
    for block in blocks:
        members = BitMap(range(block * IMPORT_BLOCK, (block + 1) * IMPORT_BLOCK)) & matching
        in_order.extend(seeded("block", salt, block).sample(list(members), len(members)))
    return in_order[skipped : skipped + count]


def _total(context: Context, now_matching: int) -> int:
    """Return the count, which may be up to a minute old."""
    ignored = ("startindex", "count", "sortby", "sortorder", "fields")
    key = repr(sorted(pair for pair in context.query if pair[0].lower() not in ignored))
    kept = context.portal.cached_totals.get(key)
    if kept is None or time.monotonic() - kept[0] >= TOTAL_KEPT_S:
        kept = context.portal.cached_totals[key] = time.monotonic(), now_matching
    return kept[1]
