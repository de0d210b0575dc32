"""Errors as answers: RFC 9457 problem details with a stable `type`, never revealing internals.

Everything that can go wrong while a request is handled becomes a `Problem` here, and only here.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec
from aiohttp import ClientConnectionError, web
from redis.exceptions import RedisError

from config.errors import UnknownPortal
from config.logging import get_logger
from jobs.intake.tally import IntakeError, ListDamaged, ListTooLarge, WayOut
from jobs.receipts.errors import NoReceiptKey, NotEnded, UnknownContact
from jobs.store.trouble import trouble_of
from jobs.words.errors import (
    BadFilter,
    BadSubmission,
    BlastRadius,
    DigestNeeded,
    IllegalMove,
    JobExists,
    JobHasEnded,
    NoPlan,
    PlanChanged,
    PlanRequired,
    SecondPerson,
    TooManyContacts,
    UnknownJob,
)
from jobs.words.states import State, allowed_events

CONTENT_TYPE = "application/problem+json"

#: Before the word that names a problem; programs compare the whole.
TYPE_PREFIX = "urn:crm-sweep:problem:"

PROBLEM = web.ResponseKey("problem", str)
"""The word that names the problem of an answer, for what looks at answers from outside."""

#: Seconds after which a caller who was turned away for the moment should ask again.
RETRY_AFTER_S = 2

_log = get_logger()


class Kind(Enum):
    """The problems there are: the word in `type`, the HTTP status, the title."""

    BAD_REQUEST = ("bad-request", 400, "The request cannot be read")
    UNKNOWN_PARAMETER = ("bad-parameter", 400, "A query parameter is unknown or wrong")
    BAD_JSON = ("bad-json", 400, "The body is not valid JSON")
    BAD_BODY = ("bad-body", 400, "The body is incomplete or damaged")
    NO_KEY = ("unauthorized", 401, "A valid key is needed")
    MISSING_SCOPE = ("insufficient-scope", 403, "The key does not allow this")
    TOO_MANY_CONTACTS = ("too-many-contacts", 403, "The key does not allow jobs of this size")
    SECOND_PERSON = ("second-person", 403, "Somebody else has to approve this")
    FOREIGN_ORIGIN = ("foreign-origin", 403, "The request comes from another site")
    UNKNOWN_ADDRESS = ("unknown-address", 404, "There is nothing at this address")
    UNKNOWN_JOB = ("unknown-job", 404, "There is no such job")
    UNKNOWN_PORTAL = ("unknown-portal", 404, "There is no such portal")
    UNKNOWN_CONTACT = ("unknown-contact", 404, "The job has no such contact")
    NO_RECEIPT_KEY = ("no-receipt-key", 404, "Receipts are not set up on this server")
    WRONG_METHOD = ("method-not-allowed", 405, "The address does not support this method")
    SLOW_BODY = ("slow-body", 408, "The body did not arrive in time")
    ILLEGAL_MOVE = ("illegal-move", 409, "The job's state does not allow this")
    JOB_EXISTS = ("job-exists", 409, "The ID is taken by another request")
    NO_PLAN = ("no-plan", 409, "The job has no plan, or none yet")
    PLAN_CHANGED = ("plan-changed", 409, "This is not the plan of the job, or it has expired")
    BLAST_RADIUS = ("blast-radius", 409, "The plan deletes a larger share of the portal than is allowed")
    TOO_LARGE = ("too-large", 413, "The body is too large")
    WRONG_MEDIA_TYPE = ("unsupported-media-type", 415, "The body has an unsupported media type")
    BAD_EXPECTATION = ("expectation-failed", 417, "The expectation cannot be met")
    TOO_MANY_FOR_PORTAL = ("too-many-contacts", 422, "The portal does not allow jobs of this size")
    INVALID = ("invalid", 422, "The request asks for something impossible")
    DIGEST_NEEDED = ("digest-needed", 422, "The approval has to say which plan it approves")
    PLAN_REQUIRED = ("plan-required", 422, "The portal takes a job of this size only with a plan")
    INVALID_FILTER = ("invalid-filter", 422, "The filter cannot be used")
    INVALID_LIST = ("invalid-list", 422, "The list is not a list of contact IDs")
    HEADERS_TOO_LARGE = ("headers-too-large", 431, "The address or a header is too long")
    INTERNAL = ("internal", 500, "Something went wrong here")
    SYSTEM_ERROR = ("system-error", 500, "The operating system of the server refused something")
    REDIS_AWAY = ("redis-away", 503, "The ledger is not available")
    TOO_BUSY = ("too-busy", 503, "The server is too busy")

    def __init__(self, word: str, status: int, title: str) -> None:
        self.word = word
        self.status = status
        self.title = title


class Wrong(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong with a request."""

    where: str
    """The parameter, header or field: `query.limit`, `body.label`, `body`."""
    why: str
    """What is wrong, in a few words."""
    line: int | msgspec.UnsetType = msgspec.UNSET
    """Line of a list, from 1."""
    index: int | msgspec.UnsetType = msgspec.UNSET
    """Position in a JSON array, from 0."""
    text: str | msgspec.UnsetType = msgspec.UNSET
    """The offending text, at most 80 characters."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong (RFC 9457)."""

    type: str
    """A stable name to compare with."""
    title: str
    """The same in words for people."""
    status: int
    """The HTTP status of the answer."""
    detail: str
    """What is wrong with this request, and what to do."""
    errors: tuple[Wrong, ...] | msgspec.UnsetType = msgspec.UNSET
    """The first ten things that are wrong."""
    total_errors: int | msgspec.UnsetType = msgspec.UNSET
    """How many things are wrong with a list; at most the first ten are listed."""
    state: State | msgspec.UnsetType = msgspec.UNSET
    """The job's state, where that is the reason."""
    allowed: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """What can be asked of the job in this state."""
    scope: str | msgspec.UnsetType = msgspec.UNSET
    """The scope that the key would need."""
    reason: str | msgspec.UnsetType = msgspec.UNSET
    """What is wrong with Redis, as a stable word (docs/operations.md)."""


@dataclass(eq=False)
class Refusal(Exception):
    """Raised by a handler to answer with a problem.

    Attributes:
        kind: which problem.
        detail: one or two sentences for the caller; never anything internal.
        headers: more headers of the answer.
        more: further members of the problem.
    """

    kind: Kind
    detail: str
    headers: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def answer(self) -> web.Response:
        """Make the response."""
        problem = Problem(
            type=TYPE_PREFIX + self.kind.word,
            title=self.kind.title,
            status=self.kind.status,
            detail=self.detail,
            **self.more,
        )
        response = web.Response(
            status=self.kind.status,
            body=msgspec.json.encode(problem),
            content_type=CONTENT_TYPE,
            headers=self.headers,
        )
        response[PROBLEM] = self.kind.word
        if self.kind in _CLOSING:
            response.force_close()
        return response


#: After these the rest of the request is not worth reading, or cannot be found.
_CLOSING = {Kind.BAD_REQUEST, Kind.SLOW_BODY, Kind.HEADERS_TOO_LARGE, Kind.TOO_LARGE}


def explain(error: BaseException) -> Refusal | None:
    """Turn whatever went wrong into what to answer; None where it is neither the caller's fault nor that of Redis.

    redis-py wraps every error of its connection in one of its own. A `TimeoutError` is our own patience with Redis.
    """
    for kind, told in _TOLD:
        if isinstance(error, kind):
            return Refusal(told, f"{error}")
    match error:
        case Refusal():
            return error
        case IllegalMove() | JobHasEnded() | NotEnded():
            return illegal(str(error), State(error.state))
        case BadFilter():
            wrong = Wrong(where=f"body.filter.{error.member}" if error.member else "body.filter", why=error.problem)
            return Refusal(Kind.INVALID_FILTER, f"{error}", more={"errors": (wrong,)})
        case BadSubmission():
            return Refusal(Kind.INVALID, f"{error}")
        case IntakeError():
            return refuse_list(error)
        case RedisError() | TimeoutError():
            return _redis_away(error)
        case web.HTTPException():
            return _of_aiohttp(error)
    return None


#: Errors whose own text says it all, and the problem that each becomes.
_TOLD: tuple[tuple[type[Exception], Kind], ...] = (
    (UnknownJob, Kind.UNKNOWN_JOB),
    (UnknownPortal, Kind.UNKNOWN_PORTAL),
    (UnknownContact, Kind.UNKNOWN_CONTACT),
    (NoReceiptKey, Kind.NO_RECEIPT_KEY),
    (JobExists, Kind.JOB_EXISTS),
    (PlanRequired, Kind.PLAN_REQUIRED),
    (TooManyContacts, Kind.TOO_MANY_FOR_PORTAL),
    (NoPlan, Kind.NO_PLAN),
    (DigestNeeded, Kind.DIGEST_NEEDED),
    (PlanChanged, Kind.PLAN_CHANGED),
    (BlastRadius, Kind.BLAST_RADIUS),
    (SecondPerson, Kind.SECOND_PERSON),
)


def unforeseen(error: BaseException | None, route: str) -> Refusal:
    """Log an error that `explain` does not know, in full, and return what the caller is told, which is next to nothing.

    Args:
        error: what was raised.
        route: of the request, as `route_of` has it.
    """
    _log.error("request_failed", route=route, exc_info=error)
    if isinstance(error, OSError):
        detail = "The server could not do what was needed, such as writing a file; its log has the details."
        return Refusal(Kind.SYSTEM_ERROR, detail)
    return Refusal(Kind.INTERNAL, "This is a bug; the server's log has the details.")


def refuse_list(error: IntakeError, *, where: str = "body") -> Refusal:
    """Describe what is wrong with a list of contact IDs, line by line."""
    if isinstance(error, ListTooLarge):
        return Refusal(Kind.TOO_LARGE, f"{error.message}.")
    if isinstance(error, ListDamaged):
        return Refusal(Kind.BAD_BODY, f"{error.message}.")
    more: dict[str, Any] = {}
    if error.bad_lines:
        more["errors"] = tuple(Wrong(where=where, line=bad.line, text=bad.text, why=bad.why) for bad in error.bad_lines)
        more["total_errors"] = error.total_bad
    way_out = _WAYS_OUT.get(error.way_out) if error.way_out else None
    return Refusal(Kind.INVALID_LIST, error.message + (f"; {way_out}" if way_out else ""), more=more)


#: What helps other than a different list, as parameters of a request.
_WAYS_OUT = {
    WayOut.COLUMN: "name the column or key with the parameter column",
    WayOut.HEADER: "send a CSV as text/csv, with a header line that names the column of the contact ID, such as id",
    WayOut.MULTILINE: "if fields do span several lines, send multiline=true",
    WayOut.SKIP_INVALID: "with skip_invalid=true, such values are left out",
}


def spoken(state: State) -> tuple[str, ...]:
    """Return what can be asked of a job in a state, as spelled in addresses."""
    return tuple(event.replace("_", "-") for event in allowed_events(state))


def illegal(detail: str, state: State) -> Refusal:
    """Refuse what a job's state does not allow, and say what it does allow."""
    return Refusal(Kind.ILLEGAL_MOVE, detail, more={"state": state, "allowed": spoken(state)})


def _redis_away(error: BaseException) -> Refusal:
    """Describe what is wrong, but not where: not every caller may see an address. Waiting does not always help."""
    trouble = trouble_of(error)
    reason = trouble.reason
    _log.warning("redis_away", error=reason.word, detail=trouble.what)
    what_to_do = "ask again" if reason.passes else "ask again once that is fixed"
    return Refusal(
        Kind.REDIS_AWAY,
        f"Redis, which holds the ledger, {reason.what}; {what_to_do}.",
        headers={"Retry-After": str(RETRY_AFTER_S)} if reason.passes else {},
        more={"reason": reason.word},
    )


def _of_aiohttp(error: web.HTTPException) -> Refusal | None:
    match error:
        case web.HTTPNotFound():
            return Refusal(Kind.UNKNOWN_ADDRESS, "There is nothing at this address; /openapi.json lists every address.")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return Refusal(Kind.WRONG_METHOD, f"This address supports {allowed}.", headers={"Allow": allowed})
        case web.HTTPRequestEntityTooLarge():
            return Refusal(Kind.TOO_LARGE, "The body is too large.")
        case web.HTTPExpectationFailed():
            return Refusal(Kind.BAD_EXPECTATION, "The only expectation that can be met is 100-continue.")
        case web.HTTPClientError():
            return Refusal(Kind.BAD_REQUEST, "The request cannot be read.")
    return None


def problem_of(request: web.Request, error: Exception) -> web.Response | None:
    """Return what the caller is told where a handler has failed.

    Args:
        request: the request.
        error: what the handler has raised.

    Returns:
        A problem; None if the error is a redirect of the page, or says that the caller has gone.

    Raises:
        ConnectionError: an answer had begun; it must break off, so that no client takes it for complete.
    """
    if isinstance(error, ClientConnectionError) or (isinstance(error, web.HTTPException) and error.status < 400):
        return None
    refusal = explain(error) or unforeseen(error, route_of(request))
    if request.writer.output_size > 0:
        raise ConnectionError("the answer breaks off") from None
    return refusal.answer()


def route_of(request: web.Request) -> str:
    """Return the template of the address, `/v1/jobs/{job_id}`; empty for an unknown one."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""
