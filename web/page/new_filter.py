"""A new job by filter: a form with every member of a filter, which becomes a job that is planned first."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pyroaring import BitMap
from ulid import ULID

from jobs.accept.submission import submission_for
from jobs.accept.submit import submit
from jobs.words.errors import BadFilter, BadSubmission, JobExists
from jobs.words.filters import Filter
from jobs.words.priority import Priority
from web.http.callers import caller, visible_portal, visible_portals
from web.http.context import REDIS
from web.page.admission import form_value
from web.page.render import page, see_other
from web.page.text import path_part, sentence

#: Members with one tag per line.
_LISTS = ("tags", "without_tags")
_NUMBERS = ("stage", "type")
_TEXTS = ("responsible", "created_from", "created_to", "text")
_BOXES = ("without_email", "everything")
#: Not of the filter, but of the job.
_UNDO = "undo"
#: Everything that is shown again as it was given.
_FIELDS = ("id", "portal", "priority", "label", "view", *_LISTS, *_NUMBERS, *_TEXTS, *_BOXES, _UNDO)

_SELECTS_NOTHING = "Nothing is filled in that selects contacts. If every contact of the portal is meant, tick the box."


async def show_filter_form(request: web.Request) -> web.Response:
    """Show the empty form."""
    return _form(request, {**dict.fromkeys(_FIELDS, ""), "priority": Priority.NORMAL})


async def take_filter(request: web.Request) -> web.Response:
    """Make a job of what the filter selects, or say at each field what is wrong with it."""
    given = {name: form_value(request, name) for name in _FIELDS}
    portal, known = visible_portal(request, given["portal"]), caller(request)
    try:
        priority = Priority(given["priority"] or Priority.NORMAL)
    except ValueError:
        raise web.HTTPBadRequest from None
    try:
        selection = _selection(given)
    except _WrongFields as wrong:
        return _form(request, given, status=422, wrong=wrong.fields)
    try:
        accepted = await submit(
            request.app[REDIS],
            submission_for(
                portal,
                BitMap(),
                by=known.name,
                selection=selection,
                max_contacts=known.max_contacts or 0,
                # The form has the ID: sent twice, it is one job.
                job_id=given["id"] or None,
                label=given["label"],
                priority=priority,
                undo=True if given[_UNDO] == "yes" else None,
            ),
        )
    except BadSubmission as bad:
        return _form(request, given, status=422, error=f"{sentence(str(bad))}. Nothing was queued.")
    except JobExists:
        error = "This form was sent before, with another filter. Send it again to make another job."
        return _form(request, {**given, "id": ""}, status=409, error=error)
    did = "planning" if accepted.created else "submitted-before"
    return see_other(f"/jobs/{path_part(accepted.job_id)}?did={did}")


class _WrongFields(Exception):
    """Some fields cannot be used.

    Attributes:
        fields: what is wrong, by name; an empty name for the filter as a whole.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = fields
        super().__init__()


def _selection(given: Mapping[str, str]) -> Filter:
    """Return the filter that was filled in.

    Raises:
        _WrongFields: it cannot be used.
    """
    members = _members(given)
    wrong = {}
    for name, value in members.items():
        try:
            Filter.from_json({name: value})
        except BadFilter as error:
            if error.member == name:  # else it is only that this member alone selects nothing
                wrong[name] = _told(error)
    if not wrong:
        try:
            return Filter.from_json(members)
        except BadFilter as error:
            wrong[error.member or ""] = _told(error)
    raise _WrongFields(wrong)


def _members(given: Mapping[str, str]) -> dict[str, Any]:
    members: dict[str, Any] = {name: lines for name in _LISTS if (lines := _lines(given[name]))}
    members |= {name: _integer(given[name].strip()) for name in _NUMBERS if given[name].strip()}
    members |= {name: given[name].strip() for name in ("view", *_TEXTS) if given[name].strip()}
    return members | {name: True for name in _BOXES if given[name] == "yes"}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _integer(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text


def _told(error: BadFilter) -> str:
    return f"{sentence(error.problem)}." if error.member else _SELECTS_NOTHING


def _form(
    request: web.Request,
    given: Mapping[str, str],
    *,
    status: int = 200,
    error: str = "",
    wrong: Mapping[str, str] | None = None,
) -> web.Response:
    wrong = wrong or {}
    if wrong and not error:
        error = wrong.get("") or "Correct the fields that are marked below. Nothing was queued."
    return page(
        request,
        "new_filter.html",
        status=status,
        error=error,
        wrong=wrong,
        given={**given, "id": given["id"] or str(ULID())},
        portals=[portal.name for portal in visible_portals(request)],
        offers_undo=any(portal.undo == "optional" for portal in visible_portals(request)),
    )
