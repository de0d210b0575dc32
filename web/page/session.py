"""Who looks at the page: a cookie with a random token, and in Redis, under the token's hash, whose it is.

The API key is read once, at log-in, and kept nowhere: not in the cookie, not in Redis. What Redis holds lets no one in:
it is a hash of the token. The cookie is never looked at by the API under /v1.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

import msgspec
from aiohttp import web
from arq.connections import ArqRedis

from config.settings import ApiKey
from jobs.store import keys
from web.http.callers import LOCAL, Caller, Scope, caller_of
from web.http.context import REDIS, SETTINGS

#: How long a session lasts after the last look at the page.
SESSION_S = 12 * 3600

_TOKEN = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Visitor:
    """A user with a browser.

    Attributes:
        token: what their cookie holds.
        caller: what they may do; None before the log-in.
        logged_in: whether there was a log-in at all; without API keys there is none.
    """

    token: str
    caller: Caller | None
    logged_in: bool

    @property
    def csrf(self) -> str:
        """What every form of theirs carries: derived from the token, and does not reveal it."""
        return hashlib.sha256(b"csrf " + self.token.encode()).hexdigest()

    def owns_form(self, token: str) -> bool:
        """Check whether a form with this token came from a page of theirs."""
        return hmac.compare_digest(self.csrf.encode(), token.encode())

    def may(self, scope: Scope) -> bool:
        """Check whether they may do what needs this scope."""
        return self.caller is not None and scope in self.caller.scopes


class _Session(msgspec.Struct):
    """What Redis holds: whose session it is, and a mark of the key, so that replacing the key ends it."""

    name: str
    mark: str


_decode = msgspec.json.Decoder(_Session).decode

_VISITOR = web.RequestKey("visitor", Visitor)


def visitor_of(request: web.Request) -> Visitor:
    """Return the visitor that `admission` has stored."""
    return request[_VISITOR]


def become(request: web.Request, visitor: Visitor) -> None:
    """Set the visitor, where this request has changed who they are."""
    request[_VISITOR] = visitor


async def recognise(request: web.Request) -> Visitor:
    """Find out who asks, and remember it with the request.

    Raises:
        redis.exceptions.RedisError: Redis is away; the visitor is a stranger then.
    """
    token = request.cookies.get(_cookie_name(request), "")
    known = bool(_TOKEN.fullmatch(token))
    token = token if known else secrets.token_hex(32)
    if not request.app[SETTINGS].api.keys:
        visitor = Visitor(token, LOCAL, logged_in=False)
    else:
        visitor = request[_VISITOR] = Visitor(token, None, logged_in=False)
        if known and (caller := await _whose(request, token, "GETEX", "EX", SESSION_S)):
            visitor = Visitor(token, caller, logged_in=True)
    request[_VISITOR] = visitor
    return visitor


async def is_open(request: web.Request) -> bool:
    """Check whether the session of whoever asked is still open; what streams for long asks now and then.

    It does not make the session last longer: a forgotten screen is no sign of life.
    """
    visitor = visitor_of(request)
    return not visitor.logged_in or await _whose(request, visitor.token, "GET") == visitor.caller


async def _whose(request: web.Request, token: str, command: str, *options: str | int) -> Caller | None:
    data = await request.app[REDIS].execute_command(command, _key(token), *options)
    if data is None:
        return None
    session = _decode(data)
    for key in request.app[SETTINGS].api.keys:
        if key.name == session.name and hmac.compare_digest(_mark(key), session.mark):
            return caller_of(key)
    return None


async def open_session(redis: ArqRedis, key: ApiKey) -> Visitor:
    """Begin a session for whoever has just shown this key, with a new token."""
    token = secrets.token_hex(32)
    data = msgspec.json.encode(_Session(key.name, _mark(key)))
    await redis.execute_command("SET", _key(token), data, "EX", SESSION_S)
    return Visitor(token, caller_of(key), logged_in=True)


async def close_session(redis: ArqRedis, visitor: Visitor) -> None:
    """End a session: its cookie opens nothing any more, wherever a copy of it may be."""
    await redis.unlink(_key(visitor.token))


def set_cookie(request: web.Request, response: web.StreamResponse, visitor: Visitor) -> None:
    """Set the token in the browser, unless it has it already.

    Lax, not Strict: a link in a mail or a chat leads to the page, and looking changes nothing. Only forms do, and with
    one from elsewhere browsers send no such cookie.
    """
    name = _cookie_name(request)
    if request.cookies.get(name) != visitor.token:
        response.set_cookie(name, visitor.token, path="/", secure=_is_https(request), httponly=True, samesite="Lax")


def drop_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """Take the token from the browser."""
    response.del_cookie(_cookie_name(request), path="/", secure=_is_https(request), httponly=True, samesite="Lax")


def _cookie_name(request: web.Request) -> str:
    # Browsers take the prefix only with Secure and without a domain: a neighbouring host cannot plant such a cookie.
    return "__Host-crm-sweep" if _is_https(request) else "crm-sweep"


def _is_https(request: web.Request) -> bool:
    # A proxy says what the browser spoke. Whoever makes the header up makes only their own cookie stricter.
    forwarded = request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower()
    return request.secure or forwarded == "https"


def _key(token: str) -> str:
    return keys.session(hashlib.sha256(token.encode()).hexdigest())


def _mark(key: ApiKey) -> str:
    return hashlib.sha256(f"session {key.name} {key.key_sha256}".encode()).hexdigest()[:32]
