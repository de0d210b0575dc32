"""The requests that can change something, as spans.

Reading is not traced: it is done every second, and a stream of events goes on for hours.
"""

from typing import Any

from aiohttp import web

from config.tracing import TRACEPARENT, SpanKind, continued, fail, span
from web.http.problems import PROBLEM, route_of

_TRACED = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@web.middleware
async def trace_request(request: web.Request, handler: Any) -> web.StreamResponse:
    """Continue the caller's trace, or begin one."""
    if request.method not in _TRACED:
        response: web.StreamResponse = await handler(request)
        return response
    route = route_of(request)
    about = {"http.request.method": request.method, "http.route": route, "url.scheme": request.scheme}
    name = f"{request.method} {route}" if route else request.method
    parent = continued(request.headers.get(TRACEPARENT))
    with span(name, kind=SpanKind.SERVER, attributes=about, context=parent) as current:
        answer: web.StreamResponse
        try:
            answer = await handler(request)
        except web.HTTPException as redirect:  # of the page; everything else has become an answer
            answer = redirect
        current.set_attribute("http.response.status_code", answer.status)
        if answer.status >= 400:
            current.set_attribute("error.type", answer.get(PROBLEM) or str(answer.status))
        if answer.status >= 500:
            fail(current, answer.get(PROBLEM) or str(answer.status))
    if isinstance(answer, web.HTTPException):
        raise answer
    return answer
