"""The truth and the controls over HTTP, under ``/truth/``; none of these calls counts as a call to the portal.

ID sets are sent as JSON, as text (one ID per line) or as a serialized roaring bitmap: ``?format=json|text|roaring``.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Annotated, Any

import msgspec
from aiohttp import web
from pyroaring import BitMap

from simulator.faults import Fault
from simulator.front import PORTAL
from simulator.portal import Portal
from simulator.truth import RecordedCall
from simulator.world import MAX_CONTACT_ID, World

routes = web.RouteTableDef()

#: How many IDs one piece of a text download holds.
_PIECE = 65536


ContactId = Annotated[int, msgspec.Meta(ge=1, le=MAX_CONTACT_ID)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_CONTACT_ID)]


class Changes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What ``POST /truth/world`` does; every member is a list of contact IDs."""

    create: list[ContactId] = []
    delete: list[ContactId] = []
    add_invoice: list[ContactId] = []
    remove_invoice: list[ContactId] = []
    make_read_only: list[ContactId] = []
    make_writable: list[ContactId] = []
    hide: list[ContactId] = []
    show: list[ContactId] = []
    poison: list[ContactId] = []
    cure: list[ContactId] = []


class NewWorld(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What ``POST /truth/reset`` creates; see :class:`simulator.world.World`."""

    contacts: Count | list[ContactId]
    read_only: Count | list[ContactId] = 0
    invoiced: Count | list[ContactId] = 0
    invisible: Count | list[ContactId] = 0
    missing: Count | list[ContactId] = 0
    poisoned: Count | list[ContactId] = 0
    companies: list[ContactId] | None = None
    tagged: dict[str, list[ContactId]] = {}
    seed: int = 0

    def build(self) -> World:
        """Build the world."""
        return World(**msgspec.structs.asdict(self))


@web.middleware
async def explain_bad_input(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """Answer 400 with the reason when a control call cannot be understood."""
    if not request.path.startswith("/truth/"):
        raised: web.StreamResponse = await handler(request)
        return raised
    try:
        response: web.StreamResponse = await handler(request)
    except (ValueError, OverflowError) as problem:  # msgspec.ValidationError is one
        return _json({"error": str(problem)}, status=400)
    return response


@routes.get("/truth/summary")
async def summary(request: web.Request) -> web.Response:
    """Answer with counts of everything."""
    return _json(_portal(request).truth.summary())


@routes.get("/truth/contacts/{name}")
async def contacts(request: web.Request) -> web.StreamResponse:
    """Answer with one of the ID sets, by name."""
    portal, name = _portal(request), request.match_info["name"]
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
    return await _download(request, sets[name]())


@routes.get("/truth/contact/{contact_id}")
async def contact(request: web.Request) -> web.Response:
    """Answer with everything about one contact: its state, the calls that held it, and which one deleted it when."""
    portal, contact_id = _portal(request), int(request.match_info["contact_id"])
    truth, world = portal.truth, portal.world
    by = truth.deleted_by(contact_id)
    return _json(
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
    truth = _portal(request).truth
    if request.query.get("format") == "text":

        async def lines() -> AsyncIterator[str]:
            for call, gone in list(truth.deletions()):
                tail = f",{truth.at_ms(call.committed_s or 0)},{call.number}\n"
                yield "".join(f"{contact_id}{tail}" for contact_id in gone)

        return await _stream(request, lines())
    return _json(
        [
            {"request": call.number, "at_ms": truth.at_ms(call.committed_s or 0), "ids": list(gone)}
            for call, gone in truth.deletions()
        ]
    )


@routes.get("/truth/requests")
async def requests(request: web.Request) -> web.Response:
    """Answer with every call, without its IDs: ``?kind=delete&since=17`` for those of a kind, after a number."""
    truth, since = _portal(request).truth, int(request.query.get("since", 0))
    calls = truth.of_kind(request.query.get("kind", "*"))
    return _json([truth.describe(call) for call in calls if call.number > since])


@routes.get("/truth/requests/{number}")
async def one_request(request: web.Request) -> web.Response:
    """Answer with one call and the IDs that it held, that it deleted and that its answer listed."""
    truth, number = _portal(request).truth, int(request.match_info["number"])
    if not 0 < number <= len(truth.calls):
        raise web.HTTPNotFound(text="no such request\n")
    call = truth.calls[number - 1]
    sets = {"asked": list(call.asked or ()), "deleted_ids": list(call.deleted or ()), "listed": list(call.listed or ())}
    return _json(truth.describe(call) | sets)


@routes.get("/truth/arrivals")
async def arrivals(request: web.Request) -> web.Response:
    """Answer when calls arrived, in ms since the start: ``?kind=delete`` for one kind."""
    truth = _portal(request).truth
    return _json([truth.at_ms(call.arrived_s) for call in truth.of_kind(request.query.get("kind", "*"))])


@routes.get("/truth/wait")
async def wait(request: web.Request) -> web.Response:
    """Answer once enough has happened, or with 408 after ``timeout_s`` (default 10).

    ``?kind=delete&arrived=3&answered=2&committed=1&deleted=100``: calls of the kind, and contacts deleted.
    """
    portal, query = _portal(request), request.query
    kind, wanted = query.get("kind", "*"), {name: int(query.get(name, 0)) for name in _WAITED}

    def happened() -> bool:
        calls = portal.truth.of_kind(kind)
        return all(measure(calls) >= wanted[name] for name, measure in _WAITED.items())

    try:
        await portal.truth.until(happened, float(query.get("timeout_s", 10)))
    except TimeoutError:
        return _json({"error": "it did not happen in time"}, status=408)
    return _json(portal.truth.summary())


_WAITED: dict[str, Callable[[list[RecordedCall]], int]] = {
    "arrived": len,
    "answered": lambda calls: sum(call.answered_s is not None for call in calls),
    "committed": lambda calls: sum(call.committed for call in calls),
    "deleted": lambda calls: sum(len(call.deleted) for call in calls if call.deleted),
}


@routes.get("/truth/faults")
async def faults(request: web.Request) -> web.Response:
    """Answer with the fault rules in force and how often each has struck."""
    return _json(_portal(request).faults.rules)


@routes.post("/truth/faults")
async def add_faults(request: web.Request) -> web.Response:
    """Add a fault rule, or a list of them, after those in force."""
    added = msgspec.json.decode(await request.read(), type=Fault | list[Fault])
    portal = _portal(request)
    portal.faults.rules.extend(added if isinstance(added, list) else [added])
    return _json(portal.faults.rules)


@routes.delete("/truth/faults")
async def clear_faults(request: web.Request) -> web.Response:
    """Drop every fault rule."""
    _portal(request).faults.rules.clear()
    return _json([])


@routes.get("/truth/behaviour")
async def behaviour(request: web.Request) -> web.Response:
    """Answer with every switch."""
    return _json(_portal(request).behaviour)


@routes.post("/truth/behaviour")
async def change_behaviour(request: web.Request) -> web.Response:
    """Change some switches."""
    portal = _portal(request)
    portal.behaviour.change(msgspec.json.decode(await request.read(), type=dict[str, Any]))
    portal.gate.admit()
    return _json(portal.behaviour)


@routes.post("/truth/world")
async def change_world(request: web.Request) -> web.Response:
    """Change contacts from outside: see :class:`Changes`."""
    portal = _portal(request)
    changes = msgspec.json.decode(await request.read(), type=Changes)
    world = portal.world
    portal.truth.create(changes.create)
    portal.truth.delete_outside(changes.delete)
    world.invoiced |= BitMap(changes.add_invoice)
    world.invoiced -= BitMap(changes.remove_invoice)
    world.read_only |= BitMap(changes.make_read_only)
    world.read_only -= BitMap(changes.make_writable)
    world.invisible |= BitMap(changes.hide)
    world.invisible -= BitMap(changes.show)
    world.poisoned |= BitMap(changes.poison)
    world.poisoned -= BitMap(changes.cure)
    world.settle()
    return _json(portal.truth.summary())


@routes.post("/truth/reset")
async def reset(request: web.Request) -> web.Response:
    """Start a new world with an empty record; fault rules are dropped, switches and sessions stay."""
    portal = _portal(request)
    portal.reset(msgspec.json.decode(await request.read(), type=NewWorld).build())
    portal.faults.rules.clear()
    return _json(portal.truth.summary())


@routes.post("/truth/log-out-everywhere")
async def log_out_everywhere(request: web.Request) -> web.Response:
    """End every session, so that the next call of each gets 401."""
    _portal(request).authentication.log_out_everywhere()
    return _json({})


def _portal(request: web.Request) -> Portal:
    return request.app[PORTAL]


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


async def _download(request: web.Request, contact_ids: BitMap) -> web.StreamResponse:
    form = request.query.get("format", "json")
    if form == "roaring":
        return web.Response(body=contact_ids.serialize(), content_type="application/octet-stream")
    if form == "text":
        contact_ids = contact_ids.copy()  # deletions go on while it is being sent

        async def lines() -> AsyncIterator[str]:
            for start in range(0, len(contact_ids), _PIECE):
                yield _lines(contact_ids[start : start + _PIECE])

        return await _stream(request, lines())
    return _json(list(contact_ids))


def _lines(contact_ids: Iterable[int]) -> str:
    return "".join(f"{contact_id}\n" for contact_id in contact_ids)


async def _stream(request: web.Request, pieces: AsyncIterator[str]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    async for piece in pieces:
        await response.write(piece.encode())
    await response.write_eof()
    return response
