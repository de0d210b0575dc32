"""What applies to every request and every answer, including the page and its files."""

import logging
from time import perf_counter
from typing import Any

from aiohttp import web

from config.logging import get_logger
from web.http.address import is_loopback, is_own_origin, without_port
from web.http.callers import caller
from web.http.context import ENDING, SETTINGS
from web.http.problems import Kind, Refusal, problem_of, route_of

_log = get_logger()

_READING = frozenset({"GET", "HEAD"})

#: Headers of every answer that says nothing else itself. The page has a Content-Security-Policy of its own.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

#: Instead of the name and version of the library.
SERVER = "crm-sweep"


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every answer has."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = SERVER


@web.middleware
async def answer(request: web.Request, handler: Any) -> web.StreamResponse:
    """Admit a request and have it handled; answer with a problem where that fails, and write a line about it.

    The line has level info if something may have changed, else debug. Each middleware costs a twentieth of a poll, so
    this is one.
    """
    started = perf_counter()
    response: web.StreamResponse | None = None
    try:
        try:
            if not request.app[SETTINGS].api.keys:
                _check_local(request)
            response = await handler(request)
        except Exception as error:  # the last resort: no answer ever holds a traceback
            response = problem_of(request, error)
            if response is None:
                raise
        return response
    finally:
        if request.method not in _READING:
            _log.info("request", **_facts(request, response, started))
        elif _log.is_enabled_for(logging.DEBUG):  # polls are many, and seldom wanted in the log
            _log.debug("request", **_facts(request, response, started))


def _facts(request: web.Request, response: web.StreamResponse | None, started: float) -> dict[str, Any]:
    return {
        "method": request.method,
        "route": route_of(request),
        "status": response.status if response is not None else None,
        "took_ms": round((perf_counter() - started) * 1000, 1),
        "key": _name(request),
    }


def _check_local(request: web.Request) -> None:
    """Without keys, admit only programs on this machine, and the page in a browser.

    A browser on this machine reaches loopback as well, on behalf of any site that is open in it: by a name that
    resolves to 127.0.0.1, or by a form or script that sends to it.

    Raises:
        Refusal: it may come from elsewhere.
    """
    host = request.headers.get("Host", "")
    if host and not is_loopback(without_port(host)):
        raise Refusal(
            Kind.FOREIGN_ORIGIN,
            "Without api.keys, the server answers only under a loopback name such as localhost.",
        )
    if request.method not in _READING and _foreign(request, host):
        raise Refusal(Kind.FOREIGN_ORIGIN, "Without api.keys, no other site may change anything here.")


def _foreign(request: web.Request, host: str) -> bool:
    origin = request.headers.get("Origin")
    if origin is not None:
        return not is_own_origin(origin, host)
    return request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}


def _name(request: web.Request) -> str | None:
    try:
        return caller(request).name
    except Refusal:
        return None


async def announce_end(app: web.Application) -> None:
    """Let streams that go on forever end."""
    app[ENDING].set()
