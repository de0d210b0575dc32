"""Who calls: keys, what each of them may do, and what it may see.

Without `api.keys` anyone who reaches the loopback address may do everything, under the name `local`.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from config.errors import UnknownPortal
from config.settings import ApiKey, Portal, Settings
from jobs.view.job import Job
from jobs.words.errors import UnknownJob
from web.http.context import SETTINGS
from web.http.problems import Kind, Refusal

Scope = Literal["read", "submit", "control"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request.

    Attributes:
        name: of the key; what the record of a job says about who did something.
        scopes: what it may do.
        portals: the portals it may see; None for all.
        max_contacts: the largest job it may submit; None for any.
    """

    name: str
    scopes: frozenset[Scope]
    portals: frozenset[str] | None = None
    max_contacts: int | None = None

    def sees(self, portal: str) -> bool:
        """Check whether a portal, and with it its jobs, exists for this caller."""
        return self.portals is None or portal in self.portals


LOCAL = Caller("local", frozenset[Scope](("read", "submit", "control")))

_CALLER = web.RequestKey("caller", Caller)
_CHALLENGE = 'Bearer realm="crm-sweep"'


def find_key(settings: Settings, key_text: str) -> Caller | None:
    """Return the caller to whom a key belongs, None if it belongs to no caller.

    Takes the same time for every wrong key, because all configured keys are compared.
    """
    digest = hashlib.sha256(key_text.encode("utf-8", "surrogateescape")).hexdigest()
    found: ApiKey | None = None
    for key in settings.api.keys:
        if hmac.compare_digest(key.key_sha256, digest):
            found = key
    return None if found is None else caller_of(found)


def caller_of(key: ApiKey) -> Caller:
    """Return the caller that a configured key stands for."""
    portals = None if key.portals is None else frozenset(key.portals)
    return Caller(key.name, frozenset(key.scopes), portals, key.max_contacts)


def caller(request: web.Request) -> Caller:
    """Return the caller of a request: the one assumed, else the one whose key the request holds.

    Raises:
        Refusal: a key is needed, and it is missing or wrong.
    """
    known = request.get(_CALLER)
    if known is None:
        known = request[_CALLER] = _identify(request)
    return known


def assume(request: web.Request, known: Caller) -> None:
    """Set the caller, where it was identified by other means than the header."""
    request[_CALLER] = known


def require(request: web.Request, scope: Scope) -> Caller:
    """Return the caller if it may do this.

    Raises:
        Refusal: it may not, or is unknown.
    """
    known = caller(request)
    if scope not in known.scopes:
        raise Refusal(
            Kind.MISSING_SCOPE,
            f"The key {known.name!r} lacks the scope {scope!r}.",
            headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'},
            more={"scope": scope},
        )
    return known


def visible_portals(request: web.Request) -> list[Portal]:
    """Return the configured portals that the caller may see, in the order of the configuration."""
    known = caller(request)
    return [portal for name, portal in request.app[SETTINGS].portals.items() if known.sees(name)]


def visible_portal(request: web.Request, name: str) -> Portal:
    """Return a configured portal that the caller may see.

    Raises:
        UnknownPortal: there is none; the message lists those that the caller may see.
    """
    portals = {portal.name: portal for portal in visible_portals(request)}
    if name not in portals:
        raise UnknownPortal(name[:80], portals)
    return portals[name]


def check_visible(request: web.Request, job: Job) -> Job:
    """Return the job if the caller may see it.

    Raises:
        UnknownJob: it may not.
    """
    if not caller(request).sees(job.portal):
        raise UnknownJob(job.id)
    return job


def _identify(request: web.Request) -> Caller:
    settings = request.app[SETTINGS]
    if not settings.api.keys:
        return LOCAL
    first, *more = request.headers.getall("Authorization", [""])
    scheme, _, key_text = first.partition(" ")
    if more or scheme.lower() != "bearer" or not key_text.strip():
        raise Refusal(
            Kind.NO_KEY,
            "Send the header `Authorization: Bearer KEY`, once.",
            headers={"WWW-Authenticate": _CHALLENGE},
        )
    found = find_key(settings, key_text.strip())
    if found is None:
        raise Refusal(
            Kind.NO_KEY, "This key is not known.", headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'}
        )
    return found
