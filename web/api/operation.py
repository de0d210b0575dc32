"""What one row of the table of operations says, and how it becomes a route.

A handler is `async def handler(request: web.Request) -> web.StreamResponse`. When it is called, the caller is known and
has the scope of the row, and an operation without `query` has been given none. It raises what went wrong (a
`Refusal`, or an error of `jobs/` that `explain` in `web.http.problems` knows) and the caller gets a problem.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from web.api.reading import fetch_document
from web.http.callers import Scope, require
from web.http.context import LIMITS
from web.http.problems import Kind, Refusal
from web.http.time_limit import within

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class Success:
    """One way in which an operation answers when all is well.

    Attributes:
        description: one sentence.
        content: per media type what the body is: a type that msgspec knows, or a JSON Schema.
        headers: name and description of headers worth knowing.
        links: operations that this answer leads to: operationId, and where its parameters are found.
    """

    description: str
    content: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method at one address.

    Attributes:
        method: GET, POST or PATCH.
        path: with `{job_id}` or `{name}` as parameters.
        name: the operationId.
        summary: a few words.
        description: whatever else a caller needs to know.
        scope: what a key must have; None for what anyone may ask.
        handler: carries it out.
        query: the query parameters, a struct that `web.api.reading.query_of` reads.
        headers: name and description of the request headers that matter.
        bodies: per media type what the body is: a type that msgspec knows, or a JSON Schema. Unless the operation
            streams, it is one JSON document, which `web.api.reading.json_of` decodes.
        needs_body: whether the document has to be there; otherwise an empty body counts as `{}`.
        answers: per status what the answer is when all is well.
        problems: what else can go wrong, beyond what can everywhere.
        streams: the body or the answer may be large or go on for long: the handler sees to limits itself.
        asks_redis: whether an outage of Redis shows.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    answers: Mapping[int, Success]
    description: str = ""
    scope: Scope | None = None
    query: type | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    bodies: Mapping[str, Any] = field(default_factory=dict)
    needs_body: bool = True
    problems: tuple[Kind, ...] = ()
    streams: bool = False
    asks_redis: bool = True


def add_routes(app: web.Application, operations: tuple[Operation, ...]) -> None:
    """Make the operations reachable."""
    for operation in operations:
        handler = _guarded(operation)
        app.router.add_route(operation.method, operation.path, handler, expect_handler=_leave_to_the_reader)
        if operation.method == "GET":
            app.router.add_route("HEAD", operation.path, handler, expect_handler=_leave_to_the_reader)


def _guarded(operation: Operation) -> Handler:
    """Wrap a handler in the checks that all of them share."""
    scope, handler, takes_query = operation.scope, operation.handler, operation.query is not None

    async def guarded(request: web.Request) -> web.StreamResponse:
        if scope is not None:
            require(request, scope)
        if not takes_query and request.rel_url.raw_query_string:
            raise Refusal(Kind.UNKNOWN_PARAMETER, "This operation has no query parameters.")
        if operation.streams:
            return await handler(request)
        limits = request.app[LIMITS]
        if (request.content_length or 0) > limits.change_bytes:
            raise Refusal(Kind.TOO_LARGE, f"The body may have at most {limits.change_bytes:,} bytes.")
        if operation.bodies:
            await fetch_document(
                request, needs_body=operation.needs_body
            )  # at the pace of the caller, who is not what the next line waits for
        if operation.asks_redis:
            return await within(limits.redis_s, handler(request))
        return await handler(request)

    return guarded


async def _leave_to_the_reader(request: web.Request) -> None:
    """Take `Expect: 100-continue` quietly; `web.http.body` says so once the body is wanted.

    Raises:
        web.HTTPExpectationFailed: something else is expected.
    """
    expected = request.headers["Expect"]
    if expected.lower() != "100-continue":
        raise web.HTTPExpectationFailed(text=expected)
