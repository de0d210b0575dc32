"""What the portal is asked to leave out of its listing: a first cut, which must never lose a contact that matches.

The portal's filters are not to be relied on: its `toDate` misses a minute, it cuts scalar values at a comma, and
parameters that it does not know widen the match without a word. So each record is checked again (`worker.records`),
and whatever is in doubt is simply not asked for: that costs calls, but no contact.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from urllib.parse import quote

from jobs.words.filters import Filter, View

_VIEWS = {View.COMPANY: "Company", View.PERSON: "Person", View.WITH_OPPORTUNITY: "WithOpportunity"}
_DAY = timedelta(days=1)


def first_cut(selection: Filter, max_chars: int) -> str:
    """Return the query parameters that select at least what the filter selects.

    Args:
        selection: the filter.
        max_chars: how long they can be together; tags that do not fit are left out.

    Returns:
        Percent-encoded parameters, each with a leading `&`; empty if everything is to be listed.
    """
    query = "".join(_parameter(name, value) for name, value in _scalars(selection))
    for tag in selection.tags:
        parameter = _parameter("tags", tag)
        # Whether the portal splits a tag at a comma is not known. If it does, it looks for two other tags, and finds
        # none of the contacts that have this one.
        if "," not in tag and len(query) + len(parameter) <= max_chars:
            query += parameter
    return query


def _scalars(selection: Filter) -> Iterator[tuple[str, str | int]]:
    if selection.view in _VIEWS:
        yield "contactListView", _VIEWS[selection.view]
    if selection.stage is not None:
        yield "contactStage", selection.stage
    if selection.type is not None:
        yield "contactType", selection.type
    if selection.responsible is not None:
        yield "responsibleid", selection.responsible
    # A day more at either end: the last day ends a minute early, and the bounds may be taken to be UTC.
    if selection.created_from is not None and selection.created_from > date.min:
        yield "fromDate", (selection.created_from - _DAY).isoformat()
    if selection.created_to is not None and selection.created_to < date.max:
        yield "toDate", (selection.created_to + _DAY).isoformat()
    if selection.text is not None:
        yield "filterValue", selection.text


def _parameter(name: str, value: str | int) -> str:
    return f"&{name}={quote(str(value), safe='')}"
