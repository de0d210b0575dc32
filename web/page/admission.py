"""Checks before every handler of the page: who asks, whether they may, whether the form is ours; errors as screens."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast
from urllib.parse import quote

from aiohttp import ClientConnectionError, web
from multidict import MultiDictProxy

from web.http.address import is_own_origin
from web.http.callers import Scope, assume, require
from web.http.context import LIMITS
from web.http.problems import Kind, Refusal, explain, route_of, unforeseen
from web.page.render import page, see_other
from web.page.session import recognise, set_cookie, visitor_of
from web.page.stops import note_stops

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FORM_TYPE = "application/x-www-form-urlencoded"
_FORM = web.RequestKey("form", MultiDictProxy[str])


def guarded(handler: Handler, scope: Scope | None, *, reads_body: bool = False, is_long: bool = False) -> Handler:
    """Put in front of a handler of the page what is the same for all of them.

    Args:
        handler: is called when all is well; whatever it raises becomes a screen that says so.
        scope: what the caller must be allowed; None for what comes before the log-in.
        reads_body: the handler reads the form itself, and has to call `check_form` with its token.
        is_long: the body or the answer may go on for long; otherwise Redis gets a few seconds.
    """

    async def wrapped(request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse | None
        try:
            response = await _admit(request, scope, reads_body=reads_body)
            if response is None:
                async with asyncio.timeout(None if is_long else request.app[LIMITS].redis_s):
                    response = await handler(request)
        except ClientConnectionError:
            raise  # the caller has gone; no one is left to answer
        except Exception as error:  # the last resort: whatever goes wrong is shown, and nothing of the inside
            if request.writer.output_size > 0:
                raise  # an answer had begun: it has to break off
            response = problem(request, error)
        visitor = visitor_of(request)
        # What another site sends comes without the cookie; a new one in the answer would end the session that there is.
        if not response.prepared and (request.method != "POST" or visitor.logged_in):
            set_cookie(request, response, visitor)
        return response

    return wrapped


async def _admit(request: web.Request, scope: Scope | None, *, reads_body: bool) -> web.Response | None:
    """Let a request through to its handler, or send a stranger to the log-in.

    Returns:
        None if it may pass, else the answer instead.

    Raises:
        Refusal: it may not.
    """
    async with asyncio.timeout(request.app[LIMITS].redis_s):
        visitor = await recognise(request)
    if scope is not None:
        if visitor.caller is None:
            return _to_login(request)
        assume(request, visitor.caller)
        require(request, scope)
        if not _wants_events(request):
            async with asyncio.timeout(request.app[LIMITS].redis_s):
                await note_stops(request)
    if request.method == "POST":
        _check_origin(request)
        if not reads_body:
            request[_FORM] = await _read_form(request)
            check_form(request, form_value(request, "csrf"))
    return None


def form_value(request: web.Request, name: str) -> str:
    """Return a field of the form that was sent; empty if it has none of this name."""
    return request[_FORM].get(name, "")


def check_form(request: web.Request, token: str) -> None:
    """Accept only what was sent from a form that this visitor was given.

    Raises:
        Refusal: it was not.
    """
    if not visitor_of(request).owns_form(token):
        raise Refusal(
            Kind.FOREIGN_ORIGIN, "The form does not belong to this session. Reload the page, then send it again."
        )


def _check_origin(request: web.Request) -> None:
    """Refuse what a browser sends on behalf of another site. The token in the form is the second lock.

    Raises:
        Refusal: it comes from elsewhere.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        foreign = site != "same-origin"
    else:  # browsers leave it out over plain HTTP
        foreign = origin is not None and not is_own_origin(origin, request.headers.get("Host", ""))
    if foreign:
        raise Refusal(Kind.FOREIGN_ORIGIN, "The form was sent from another site.")


async def _read_form(request: web.Request) -> MultiDictProxy[str]:
    limits = request.app[LIMITS]
    if request.content_type != _FORM_TYPE or (request.charset or "utf-8").lower() != "utf-8":
        raise Refusal(Kind.WRONG_MEDIA_TYPE, "Send the form as browsers do.")
    if (request.content_length or 0) > limits.change_bytes:
        raise Refusal(Kind.TOO_LARGE, "The form is too large.")
    try:
        async with asyncio.timeout(limits.body_silence_s):
            form = await request.post()
    except TimeoutError:
        raise Refusal(Kind.SLOW_BODY, "The form did not arrive in time.") from None
    except ValueError:
        raise Refusal(Kind.BAD_REQUEST, "The form cannot be read.") from None
    return cast("MultiDictProxy[str]", form)  # a form of this type holds no files


def _wants_events(request: web.Request) -> bool:
    return "text/event-stream" in request.headers.get("Accept", "")


def _to_login(request: web.Request) -> web.Response:
    if request.method in {"GET", "HEAD"} and not _wants_events(request):
        return see_other(f"/login?next={quote(request.path_qs, safe='/')}" if request.path != "/" else "/login")
    raise Refusal(Kind.NO_KEY, "The session has ended. Log in again; what you sent was not carried out.")


def problem(request: web.Request, error: Exception) -> web.Response:
    """Show what went wrong."""
    refusal = explain(error) or unforeseen(error, route_of(request))
    kind = refusal.kind
    response = page(request, "problem.html", status=kind.status, title=kind.title, detail=refusal.detail)
    for name, value in refusal.headers.items():
        if name != "WWW-Authenticate":
            response.headers[name] = value
    if kind.status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}:
        response.force_close()
    return response
