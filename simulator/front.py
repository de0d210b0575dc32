"""One API call from its arrival to its answer, through the layers of the real portal."""

import contextlib
import zlib

from aiohttp import web
from pyroaring import BitMap

from simulator import replies as answers
from simulator.binding import bind_contact_ids
from simulator.capacity import throttled
from simulator.context import Context
from simulator.faults import Fault, retry_after
from simulator.misanswers import distort
from simulator.portal import Portal
from simulator.replies import Answer, PortalError, empty, error, page
from simulator.routes import Route, find_route
from simulator.sending import ConnectionEnd, send, stay_silent, tear
from simulator.xml_answers import to_xml

PORTAL = web.AppKey("portal", Portal)
_PREFIX = "/api/2.0/"


async def serve(request: web.Request) -> web.StreamResponse:
    """Answer one call under ``/api/2.0/``."""
    portal = request.app[PORTAL]
    route, path_values = find_route(request.method, request.path.removeprefix(_PREFIX))
    truth = portal.truth
    address = request.headers.get("X-Forwarded-For") or request.remote or ""
    call = truth.arrive(route.kind if route else "other", request.method, request.path, address)
    try:
        context = Context(
            portal=portal,
            world=portal.world,
            truth=truth,
            call=call,
            query=list(request.query.items()),
            body=await request.read(),
            address=address,
            path_value=path_values[0],
            path_rest=path_values[1],
            content_type=request.headers.get("Content-Type"),
            bound=None,
        )
        _bind(context, request)
        fault = portal.faults.draw(call.kind)
        call.fault = fault.fault if fault else None
        try:
            answer = await _answer(context, route, request, fault)
        except PortalError as refusal:
            answer = refusal.answer
        if fault and not fault.before:
            answer = _after(fault, answer, context)
        answer = _encoded(answer, request, portal)
        end = fault.fault if fault and fault.fault in ("reset", "hang", "cut") else None
        return await _leave(request, answer, context, end)
    finally:
        truth.leave(call)


def _bind(context: Context, request: web.Request) -> None:
    """Read the contact IDs of the call when it arrives, so that the truth knows them whatever happens next."""
    kind, call = context.call.kind, context.call
    if kind not in ("delete", "look_up"):
        return
    try:
        if kind == "delete":
            bound = bind_contact_ids(context.query, request.headers.get("Content-Type"), context.body)
        else:
            bound = bind_contact_ids(context.query, None, b"")
    except PortalError as refusal:
        context.bound = refusal
        return
    context.bound = bound
    context.truth.ask(call, bound)


async def _answer(context: Context, route: Route | None, request: web.Request, fault: Fault | None) -> Answer:
    """Run the call, unless something stops it first."""
    portal = context.portal
    request_line = len(request.method) + len(request.raw_path) + len(" HTTP/1.1") + 1
    if request_line > portal.behaviour.request_line_limit:
        raise PortalError(page(414))
    if len(context.body) > portal.behaviour.body_limit:
        raise PortalError(page(413))
    await portal.capacity.take(context.call.kind)
    if fault and fault.before:
        return _instead(fault)
    if fault and fault.fault == "gateway_timeout":
        context.delay_s = fault.delay_s
        portal.go_on_without_caller(_run_unheard(context, route, request))
        return page(504)
    if fault and fault.fault == "late":
        context.delay_s = fault.delay_s
    if fault and fault.fault == "stuck":
        context.query = [pair for pair in context.query if pair[0].lower() != "startindex"]
    return await _run(context, route, request)


async def _run_unheard(context: Context, route: Route | None, request: web.Request) -> None:
    """Run a call whose answer reaches no one."""
    await _run(context, route, request)
    context.call.listed, context.call.told = None, False


async def _run(context: Context, route: Route | None, request: web.Request) -> Answer:
    """Wait for a free place, check who is calling, and do what was asked."""
    portal = context.portal
    async with portal.gate:
        if route is None or (route.kind == "look_up" and not portal.behaviour.bulk_look_up):
            raise PortalError(page(404))
        cookies = _admit(context, route, request)
        try:
            answer = await route.handler(context)
        except PortalError as refusal:
            refusal.answer.headers |= cookies
            raise
        answer.headers |= cookies
        return answer


def _admit(context: Context, route: Route, request: web.Request) -> dict[str, str]:
    """Check portal, caller, tariff and module; return the headers for the answer to an authenticated call."""
    behaviour = context.portal.behaviour
    if behaviour.suspended:
        raise PortalError(empty(404))
    if behaviour.in_maintenance:
        raise PortalError(empty(503))
    if route.public:
        return {}
    cookies = context.portal.authentication.check(request.headers, request.cookies.get("asc_auth_key"))
    if behaviour.ip_restricted:
        raise PortalError(empty(403))
    if behaviour.unpaid:
        lapsed = behaviour.unpaid == "licence"
        raise PortalError(empty(402) if lapsed else error(402, "PaymentRequired", answers.DATABASE))
    if behaviour.module_denied and route.crm:
        raise PortalError(error(403, "Forbidden", answers.DATABASE))
    return cookies


def _instead(fault: Fault) -> Answer:
    """Return what the caller gets instead of the call being run."""
    if fault.fault == "throttle":
        answer = throttled(None)
        answer.headers = retry_after(fault.retry_after_s, fault.retry_after_form)
        return answer
    if fault.fault == "unavailable":
        return Answer(503, headers=retry_after(fault.retry_after_s, fault.retry_after_form))
    if fault.fault == "deadlock":
        message = "Deadlock found when trying to get lock; try restarting transaction"
        return error(500, message, answers.DATABASE)
    return distort(fault, empty(200), asked=BitMap())


def _after(fault: Fault, answer: Answer, context: Context) -> Answer:
    """Return what the caller gets after the call was run."""
    spoilt = distort(fault, answer, asked=context.call.asked or BitMap())
    if spoilt is not answer:
        context.call.listed, context.call.told = None, False  # such an answer confirms nothing
    return spoilt


def _encoded(answer: Answer, request: web.Request, portal: Portal) -> Answer:
    """Turn the answer into XML if the path asks for it, and compress it by the portal's rule."""
    asked_json = request.content_type == "application/json" and "Content-Type" in request.headers
    if request.path.endswith((".xml", ".tml")) and not asked_json and answer.content_type == answers.JSON:
        answer = to_xml(answer)
    accepted = request.headers.get("Accept-Encoding", "").split(",")
    if portal.behaviour.gzip and answer.status < 400 and answer.body and "gzip" in accepted:
        packer = zlib.compressobj(wbits=31)
        answer.body = packer.compress(answer.body) + packer.flush()
        answer.headers["Content-Encoding"] = "gzip"
    return answer


async def _leave(request: web.Request, answer: Answer, context: Context, end: str | None) -> web.StreamResponse:
    """Send the answer, or end the connection in the way that the fault demands."""
    with contextlib.suppress(ConnectionError):
        if end == "hang":
            return await stay_silent(request)
        if end == "reset":
            return tear(request)
        ending = ConnectionEnd.CUT if end == "cut" else ConnectionEnd.WHOLE
        context.call.status = answer.status
        response, context.call.delivered = await send(request, answer, ending)
        return response
    return web.Response()
