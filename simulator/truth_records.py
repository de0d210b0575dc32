"""Full records of contacts, and which call created which, under ``/truth/``."""

from collections.abc import AsyncIterator, Iterable

import msgspec
from aiohttp import web

from simulator.changes import ContactId
from simulator.portal import Portal
from simulator.records import record
from simulator.truth import RecordedCall, Truth
from simulator.truth_http import json_answer, portal_of, stream

routes = web.RouteTableDef()

#: How many records one piece of a download holds.
_PIECE = 500


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /truth/records`` takes; contacts that never existed are passed over."""

    ids: list[ContactId]


@routes.get("/truth/records")
async def records(request: web.Request) -> web.StreamResponse:
    """Answer with full records, by ID; of deleted contacts as they were at their deletion.

    ``?ids=1,2,3``: these, as JSON. ``?of=alive`` or ``?of=deleted``: all of those, as one JSON object a line.
    """
    portal = portal_of(request)
    if "ids" in request.query:
        numbers = [int(number) for number in request.query["ids"].split(",") if number.strip()]
        return json_answer(_found(portal, msgspec.convert(numbers, list[ContactId])))
    world, of = portal.world, request.query.get("of", "alive")
    if of not in ("alive", "deleted"):
        raise ValueError("records are of the contacts that are alive or deleted")
    everyone = (world.alive if of == "alive" else world.departed).copy()

    async def lines() -> AsyncIterator[str]:
        for start in range(0, len(everyone), _PIECE):
            found = _found(portal, everyone[start : start + _PIECE])
            yield "".join(f"{msgspec.json.encode(one).decode()}\n" for one in found)

    return await stream(request, lines())


@routes.post("/truth/records")
async def wanted_records(request: web.Request) -> web.Response:
    """Answer with the full records of the contacts in the body."""
    return json_answer(_found(portal_of(request), msgspec.json.decode(await request.read(), type=Wanted).ids))


@routes.get("/truth/creations")
async def creations(request: web.Request) -> web.Response:
    """Answer which call created which contact and when, in order: ``?ids=17,18`` for some, ``?since_id=17`` from there.

    ``answer_lost`` tells whether the caller cannot know: it got no whole answer that names the contact.
    """
    truth, query = portal_of(request).truth, request.query
    since_id = int(query.get("since_id", 0))
    asked = [int(number) for number in query["ids"].split(",")] if "ids" in query else truth.creations
    return json_answer(
        [_described(truth, number) for number in asked if number > since_id and number in truth.creations]
    )


def _found(portal: Portal, contact_ids: Iterable[int]) -> list[dict[str, object]]:
    world = portal.world
    return [record(world, number) for number in contact_ids if number in world.alive or number in world.departed]


def _described(truth: Truth, contact_id: int) -> dict[str, object]:
    call: RecordedCall = truth.creations[contact_id]
    return {
        "contact_id": contact_id,
        "request": call.number,
        "kind": call.kind,
        "at_ms": truth.at_ms(call.committed_s or call.arrived_s),
        "status": call.status,
        "fault": call.fault,
        "answered": call.answered_s is not None,
        "answer_lost": not (call.told and call.delivered),
    }
