"""The truth and the controls over HTTP, under ``/truth/``; none of these calls counts as a call to the portal.

ID sets are sent as JSON, as text (one ID per line) or as a serialized roaring bitmap: ``?format=json|text|roaring``.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from aiohttp import web
from pyroaring import BitMap

from simulator.changes import Changes, NewWorld
from simulator.faults import Fault
from simulator.truth import RecordedCall
from simulator.truth_http import download, json_answer, portal_of, stream

routes = web.RouteTableDef()


@web.middleware
async def explain_bad_input(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """Answer 400 with the reason when a control call cannot be understood."""
    if not request.path.startswith("/truth/"):
        raised: web.StreamResponse = await handler(request)
        return raised
    try:
        response: web.StreamResponse = await handler(request)
    except (ValueError, OverflowError) as problem:  # msgspec.ValidationError is one
        return json_answer({"error": str(problem)}, status=400)
    return response


@routes.get("/truth/summary")
async def summary(request: web.Request) -> web.Response:
    """Answer with counts of everything."""
    return json_answer(portal_of(request).truth.summary())


@routes.get("/truth/contacts/{name}")
async def contacts(request: web.Request) -> web.StreamResponse:
    """Answer with one of the ID sets, by name."""
    portal, name = portal_of(request), request.match_info["name"]
    truth, world = portal.truth, portal.world
    sets: dict[str, Callable[[], BitMap]] = {
        "existed": lambda: truth.existed,
        "alive": lambda: truth.alive,
        "deleted": lambda: truth.deleted,
        "deleted_outside": lambda: truth.deleted_outside,
        "created": lambda: truth.created,
        "read_only": lambda: world.read_only,
        "invoiced": lambda: world.invoiced,
        "invisible": lambda: world.invisible,
        "poisoned": lambda: world.poisoned,
        "deletable": lambda: world.deletable,
        "sent": lambda: truth.sent,
        "sent_again": lambda: truth.sent_again,
        "confirmed": lambda: truth.confirmed,
        "resent_after_confirmation": lambda: truth.resent_after_confirmation,
    }
    if name not in sets:
        raise web.HTTPNotFound(text=f"no such set; there are: {', '.join(sets)}\n")
    return await download(request, sets[name]())


@routes.get("/truth/contact/{contact_id}")
async def contact(request: web.Request) -> web.Response:
    """Answer with everything about one contact: its state, the calls that held it, and which one deleted it when."""
    portal, contact_id = portal_of(request), int(request.match_info["contact_id"])
    truth, world = portal.truth, portal.world
    by = truth.deleted_by(contact_id)
    return json_answer(
        {
            "id": contact_id,
            "existed": contact_id in truth.existed,
            "alive": contact_id in truth.alive,
            "read_only": contact_id in world.read_only,
            "invoiced": contact_id in world.invoiced,
            "invisible": contact_id in world.invisible,
            "sent_in": truth.sent_in(contact_id),
            "deleted_by": by.number if by else None,
            "deleted_at_ms": truth.at_ms(by.committed_s) if by and by.committed_s is not None else None,
        }
    )


@routes.get("/truth/deletions")
async def deletions(request: web.Request) -> web.StreamResponse:
    """Answer which call deleted what and when: JSON per call, or with ``format=text`` lines of ``id,at_ms,request``."""
    truth = portal_of(request).truth
    if request.query.get("format") == "text":

        async def lines() -> AsyncIterator[str]:
            for call, gone in list(truth.deletions()):
                tail = f",{truth.at_ms(call.committed_s or 0)},{call.number}\n"
                yield "".join(f"{contact_id}{tail}" for contact_id in gone)

        return await stream(request, lines())
    return json_answer(
        [
            {"request": call.number, "at_ms": truth.at_ms(call.committed_s or 0), "ids": list(gone)}
            for call, gone in truth.deletions()
        ]
    )


@routes.get("/truth/requests")
async def requests(request: web.Request) -> web.Response:
    """Answer with every call, without its IDs: ``?kind=delete&since=17`` for those of a kind, after a number."""
    truth, since = portal_of(request).truth, int(request.query.get("since", 0))
    calls = truth.of_kind(request.query.get("kind", "*"))
    return json_answer([truth.describe(call) for call in calls if call.number > since])


@routes.get("/truth/requests/{number}")
async def one_request(request: web.Request) -> web.Response:
    """Answer with one call and the IDs that it held, that it deleted and that its answer listed."""
    truth, number = portal_of(request).truth, int(request.match_info["number"])
    if not 0 < number <= len(truth.calls):
        raise web.HTTPNotFound(text="no such request\n")
    call = truth.calls[number - 1]
    sets = {"asked": list(call.asked or ()), "deleted_ids": list(call.deleted or ()), "listed": list(call.listed or ())}
    return json_answer(truth.describe(call) | sets)


@routes.get("/truth/arrivals")
async def arrivals(request: web.Request) -> web.Response:
    """Answer when calls arrived, in ms since the start: ``?kind=delete`` for one kind."""
    truth = portal_of(request).truth
    return json_answer([truth.at_ms(call.arrived_s) for call in truth.of_kind(request.query.get("kind", "*"))])


@routes.get("/truth/wait")
async def wait(request: web.Request) -> web.Response:
    """Answer once enough has happened, or with 408 after ``timeout_s`` (default 10).

    ``?kind=delete&arrived=3&answered=2&committed=1&deleted=100``: calls of the kind, and contacts deleted;
    ``?edits=5``: edits from outside; ``?created=5``: contacts that calls created.
    """
    portal, query = portal_of(request), request.query
    kind, wanted = query.get("kind", "*"), {name: int(query.get(name, 0)) for name in _WAITED}
    edits, created = int(query.get("edits", 0)), int(query.get("created", 0))

    def happened() -> bool:
        truth = portal.truth
        if len(truth.edits) < edits or len(truth.creations) < created:
            return False
        calls = truth.of_kind(kind)
        return all(measure(calls) >= wanted[name] for name, measure in _WAITED.items())

    try:
        await portal.truth.until(happened, float(query.get("timeout_s", 10)))
    except TimeoutError:
        return json_answer({"error": "it did not happen in time"}, status=408)
    return json_answer(portal.truth.summary())


_WAITED: dict[str, Callable[[list[RecordedCall]], int]] = {
    "arrived": len,
    "answered": lambda calls: sum(call.answered_s is not None for call in calls),
    "committed": lambda calls: sum(call.committed for call in calls),
    "deleted": lambda calls: sum(len(call.deleted) for call in calls if call.deleted),
}


@routes.get("/truth/faults")
async def faults(request: web.Request) -> web.Response:
    """Answer with the fault rules in force and how often each has struck."""
    return json_answer(portal_of(request).faults.rules)


@routes.post("/truth/faults")
async def add_faults(request: web.Request) -> web.Response:
    """Add a fault rule, or a list of them, after those in force."""
    added = msgspec.json.decode(await request.read(), type=Fault | list[Fault])
    portal = portal_of(request)
    portal.faults.rules.extend(added if isinstance(added, list) else [added])
    return json_answer(portal.faults.rules)


@routes.delete("/truth/faults")
async def clear_faults(request: web.Request) -> web.Response:
    """Drop every fault rule."""
    portal_of(request).faults.rules.clear()
    return json_answer([])


@routes.get("/truth/behaviour")
async def behaviour(request: web.Request) -> web.Response:
    """Answer with every switch."""
    return json_answer(portal_of(request).behaviour)


@routes.post("/truth/behaviour")
async def change_behaviour(request: web.Request) -> web.Response:
    """Change some switches."""
    portal = portal_of(request)
    portal.behaviour.change(msgspec.json.decode(await request.read(), type=dict[str, Any]))
    portal.gate.admit()
    return json_answer(portal.behaviour)


@routes.post("/truth/world")
async def change_world(request: web.Request) -> web.Response:
    """Change contacts from outside; see :class:`simulator.changes.Changes`."""
    portal = portal_of(request)
    changes = msgspec.json.decode(await request.read(), type=Changes)
    changes.apply(portal.truth)
    return json_answer(portal.truth.summary())


@routes.post("/truth/reset")
async def reset(request: web.Request) -> web.Response:
    """Start a new world with an empty record; fault rules are dropped, switches and sessions stay."""
    portal = portal_of(request)
    portal.reset(msgspec.json.decode(await request.read(), type=NewWorld).build())
    portal.faults.rules.clear()
    return json_answer(portal.truth.summary())


@routes.post("/truth/log-out-everywhere")
async def log_out_everywhere(request: web.Request) -> web.Response:
    """End every session, so that the next call of each gets 401."""
    portal_of(request).authentication.log_out_everywhere()
    return json_answer({})
