"""What contacts are like, which of them match a filter, and how they were edited from outside, under ``/truth/``."""

import msgspec
from aiohttp import web
from pyroaring import BitMap

from simulator.changes import ContactId, Count
from simulator.oracle import View
from simulator.portal import Portal
from simulator.truth_http import download, json_answer, portal_of
from simulator.world import MAX_CONTACT_ID

routes = web.RouteTableDef()


class Members(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What ``POST /truth/select`` takes: a filter; see :func:`simulator.oracle.select`."""

    tags: list[str] = []
    without_tags: list[str] = []
    view: View = "all"
    stage: Count | None = None
    type: Count | None = None
    responsible: str | None = None
    created_from: str | None = None
    created_to: str | None = None
    without_email: bool = False
    text: str | None = None


@routes.get("/truth/contacts")
async def contacts(request: web.Request) -> web.Response:
    """Answer what contacts are like.

    ``?ids=1,2,3``: these, also deleted ones; ``?since_id=0&count=1000``: those that exist after an ID, by ID.
    ``next_since_id`` is null at the end.
    """
    portal = portal_of(request)
    if "ids" in request.query:
        contact_ids = msgspec.convert([int(number) for number in request.query["ids"].split(",")], list[ContactId])
        return json_answer({"contacts": [_described(portal, number) for number in contact_ids], "next_since_id": None})
    since_id, count = int(request.query.get("since_id", 0)), int(request.query.get("count", 1000))
    start = portal.truth.alive.rank(min(max(since_id, 0), MAX_CONTACT_ID))
    page = portal.truth.alive[start : start + max(count, 1)]
    more = start + len(page) < len(portal.truth.alive)
    described = [_described(portal, number) for number in page]
    return json_answer({"contacts": described, "next_since_id": page.max() if page and more else None})


@routes.post("/truth/select")
async def select(request: web.Request) -> web.StreamResponse:
    """Answer which contacts match a filter as it is meant."""
    members = msgspec.json.decode(await request.read(), type=Members)
    found: BitMap = portal_of(request).world.select(**msgspec.structs.asdict(members))
    return await download(request, found)


@routes.get("/truth/edits")
async def edits(request: web.Request) -> web.Response:
    """Answer with every edit of a contact from outside: ``?since=17`` for those after a number."""
    truth, since = portal_of(request).truth, int(request.query.get("since", 0))
    return json_answer([truth.describe_edit(edit) for edit in truth.edits[max(since, 0) :]])


def _described(portal: Portal, contact_id: int) -> dict[str, object]:
    world, about = portal.world, portal.world.attributes
    company = about.is_company(contact_id)
    return {
        "id": contact_id,
        "existed": contact_id in portal.truth.existed,
        "alive": contact_id in world.alive,
        "deletable": world.can_delete(contact_id),
        "read_only": contact_id in world.read_only,
        "invoiced": contact_id in world.invoiced,
        "invisible": contact_id in world.invisible,
        "kind": "company" if company else "person",
        "name": about.name(contact_id),
        "note": about.note(contact_id),
        "email": about.email(contact_id),
        "tags": about.tags(contact_id),
        "stage": about.stage(contact_id),
        "type": about.type(contact_id),
        "responsible": about.responsible_for(contact_id),
        "with_opportunity": contact_id in about.with_opportunity or bool(world.participation.parts(contact_id)),
        "created": world.creation.text(contact_id, portal.behaviour.utc_offset_minutes),
        "custom_fields": about.fields(contact_id),
        "company_id": None if company else world.company_of(contact_id),
        "persons": list(world.persons_of(contact_id)) if company else [],
    }
