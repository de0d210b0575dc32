"""Credentials: where the `Authorization` header of a call comes from.

A portal has either a token, or a user name and a password to log in with. One log-in serves all workers: its token is
shared through a `TokenStore`, encrypted with a key that only those who know the password can derive. Basic
authentication is never used: it has no lock-out, and a wrong host could accept it for another portal.

The portal locks an account after more than five attempts in a minute, and workers resume on their own, so refused
credentials are remembered by fingerprint and not tried for a while; corrected ones work immediately. Like the portal,
we count an attempt when it begins and uncount it when it succeeds, so tokens that expire early cost no more than the
log-ins themselves. Those are calls like any other, within the portal's rate; and as a token that is refused right after
it was issued stops the job, there is at most one log-in per successful call. A worker that is killed between success
and uncounting leaves its attempt counted for a minute, which is the safe side.
"""

import asyncio
import base64
import hmac
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol, TypeAlias

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from redis.exceptions import RedisError

from config.portal import Portal
from jobs.store.connection import AWAY
from jobs.words.reasons import StateReason
from worker.drain import cancel
from worker.envelope import NotAnEnvelopeError, read_error, read_object
from worker.exchange import RawAnswer
from worker.failure_table import HRESULT_AUTHENTICATION
from worker.failures import decide_status
from worker.fingerprint import slow_key
from worker.portal_answers import Failure, Remedy
from worker.token_store import LOCK_TTL_S, MAX_ATTEMPTS, TokenStore

#: Sends one log-in call with this JSON body.
Post: TypeAlias = Callable[[bytes], Awaitable[RawAnswer | Failure]]

#: How long to wait for another worker that is logging in.
PATIENCE_S = 10.0
POLL_S = 0.1

#: Bounds of a shared token's lifetime, whatever the portal's clock says; the portal's default is a year.
SHORTEST_TTL_S = 60.0
LONGEST_TTL_S = 7 * 86_400.0
UNKNOWN_TTL_S = 3_600.0

#: Why credentials were refused: the message for people, and for how many seconds not to try them again.
REFUSALS: dict[str, tuple[str, float]] = {
    "wrong_password": (
        "the portal does not accept the user name or password (or forbids log-ins from this address); correct them",
        600.0,
    ),
    "second_factor": (
        "the account needs a second factor to log in; use a token, or an account without a second factor",
        600.0,
    ),
    # The portal blocks for 60 s; attempts during the block prolong it.
    "locked_out": ("the portal has locked the account after too many attempts to log in; check the password", 90.0),
}


class Credentials(Protocol):
    """The source of the `Authorization` header."""

    async def authorization(self) -> str | Failure:
        """Return the header's value, logging in if necessary."""

    async def renew(self, refused: str) -> str | Failure:
        """Return a value other than the one that was answered with 401, or the failure that stops the job."""

    def is_own(self, value: str) -> bool:
        """Check whether this process got the value itself, so that a refusal is not about another worker's token."""


def header_value(portal: Portal, token: str) -> str:
    """Return the `Authorization` header for a token, in the portal's configured form."""
    return f"Bearer {token}" if portal.auth_scheme == "bearer" else token


class StaticToken:
    """A token from the configuration: nothing to renew."""

    def __init__(self, portal: Portal) -> None:
        token = portal.token.get_secret_value() if portal.token is not None else ""
        self._header = header_value(portal, token)

    async def authorization(self) -> str | Failure:
        """Return the header's value."""
        return self._header

    async def renew(self, refused: str) -> str | Failure:  # noqa: ARG002 -- the protocol's signature
        """Return the failure, as a person must replace the token."""
        return decide_status(401, read_error(b"").kind, now=time.time(), deleting=False)

    def is_own(self, value: str) -> bool:
        """Check whether the value is the configured one."""
        return value == self._header


class LogIn:
    """A user name and password: one log-in for the whole fleet.

    Args:
        portal: settings with `username` and `password`.
        store: what the workers share.
        post: sends one log-in call.
        pace: awaited before a log-in call, which counts against the portal's rate like any other.

    Methods raise what redis-py raises if Redis is away; the portal has executed nothing in that case.
    """

    def __init__(self, portal: Portal, store: TokenStore, post: Post, pace: Callable[[], Awaitable[None]]) -> None:
        self._portal = portal
        self._store = store
        self._post = post
        self._pace = pace
        self._owner = secrets.token_hex(16).encode()
        self._lock = asyncio.Lock()
        self._header: str | None = None
        self._sealed: bytes | None = None
        self._own: str | None = None

    async def authorization(self) -> str | Failure:
        """Return the header's value: from memory, from another worker, or by logging in."""
        if self._header is not None:
            return self._header
        async with self._lock:
            return await self._obtain()

    async def renew(self, refused: str) -> str | Failure:
        """Return a value newer than the refused one; calls that fail together share one log-in."""
        async with self._lock:
            if self._header == refused:
                self._header = None
                if self._sealed is not None:
                    await self._store.forget(self._sealed)
            return await self._obtain()

    def is_own(self, value: str) -> bool:
        """Check whether the value comes from a log-in of this process."""
        return value == self._own

    async def _obtain(self) -> str | Failure:
        if self._header is not None:  # another call got it while this one waited for the lock
            return self._header
        fernet, fingerprint = await asyncio.to_thread(_derive, *self._secrets())
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            known = await self._known(fernet, fingerprint)
            if known is not None:
                return known
            if await self._store.begin_login(self._owner):
                break
            if time.monotonic() > give_up_at:
                return _wait("another worker is logging in to the portal and has not finished", 5.0)
            await asyncio.sleep(POLL_S * random.uniform(0.5, 1.5))  # noqa: S311 -- spreads the polls, hides nothing
        keeper = asyncio.create_task(self._keep_turn())
        try:
            await self._pace()
            # While this worker waited for its turn, another one may have finished.
            known = await self._known(fernet, fingerprint)
            if known is not None:
                return known
            attempt = secrets.token_hex(16).encode()
            wait_s = await self._store.count_attempt(attempt)
            if wait_s > 0:
                return _wait(f"{MAX_ATTEMPTS} attempts to log in have failed; more could lock the account out", wait_s)
            return await self._log_in(fernet, fingerprint, attempt)
        finally:
            await cancel(keeper)
            await self._store.end_login(self._owner)

    async def _keep_turn(self) -> None:
        """Keep the turn to log in while this process is alive: the pace, or the portal, may take long."""
        while True:
            await asyncio.sleep(LOCK_TTL_S / 4)
            try:
                await self._store.keep_login(self._owner)
            except (*AWAY, RedisError):
                continue

    async def _known(self, fernet: Fernet, fingerprint: str) -> str | Failure | None:
        """Return the shared token's header, the refusal that is still in force, or None."""
        sealed = await self._store.load()
        if sealed is not None:
            try:
                return self._adopt(sealed, fernet.decrypt(sealed).decode())
            except (InvalidToken, UnicodeDecodeError):
                pass  # encrypted with another password: one worker's configuration has changed
        refusal = await self._store.recall_refusal(fingerprint)
        return None if refusal is None else _refused(*refusal)

    async def _log_in(self, fernet: Fernet, fingerprint: str, attempt: bytes) -> str | Failure:
        _, username, password = self._secrets()
        answer = await self._post(msgspec.json.encode({"userName": username, "password": password}))
        if isinstance(answer, Failure):
            if not answer.sent:
                await self._store.give_back(attempt)
            return answer
        verdict = read_login(answer, now=time.time())
        if isinstance(verdict, Failure):
            return verdict
        if isinstance(verdict, str):
            if verdict == "second_factor":  # the password was right, so the portal does not count it either
                await self._store.give_back(attempt)
            _, cool_down_s = REFUSALS[verdict]
            await self._store.remember_refusal(fingerprint, verdict, cool_down_s)
            return _refused(verdict, cool_down_s, answer.status)
        token, ttl_s = verdict
        sealed = fernet.encrypt(token.encode())
        await self._store.save(sealed, ttl_s)
        await self._store.give_back(attempt)
        self._own = self._adopt(sealed, token)
        return self._own

    def _adopt(self, sealed: bytes, token: str) -> str:
        self._sealed = sealed
        self._header = header_value(self._portal, token)
        return self._header

    def _secrets(self) -> tuple[str, str, str]:
        password = self._portal.password
        return self._portal.url, self._portal.username or "", password.get_secret_value() if password else ""


def read_login(answer: RawAnswer, *, now: float) -> tuple[str, float] | str | Failure:
    """Read the answer to a log-in call.

    Args:
        answer: an answer of any status.
        now: seconds since 1970 (UTC).

    Returns:
        The token and for how many seconds to share it; or why the credentials were refused, as a key of `REFUSALS`; or
        the failure, if something else went wrong.
    """
    error = read_error(answer.body)
    if answer.status in {200, 201}:
        try:
            given = read_object(answer.body, status_code=answer.status)
        except NotAnEnvelopeError:
            pass
        else:
            token = given.get("token")
            if isinstance(token, str) and token.isascii() and token.isprintable() and token and " " not in token:
                return token, _ttl_s(given.get("expires"), now)
            if given.get("sms") is True or given.get("tfa") is True:
                return "second_factor"
    elif answer.status == 401:
        return "wrong_password"
    elif answer.status == 500:
        said = error.message.casefold()
        if "too many attempts" in said:
            return "locked_out"
        if error.hresult == HRESULT_AUTHENTICATION or "authentication failed" in said:
            return "wrong_password"
    failure = decide_status(
        answer.status,
        error.kind,
        hresult=error.hresult,
        error_message=error.message,
        retry_after=answer.retry_after,
        date=answer.date,
        now=now,
        deleting=False,
        read_by_proxy=answer.read_by_proxy,
    )
    if failure.action is Remedy.SPLIT:  # there are no contact IDs here to blame
        failure = replace(failure, action=Remedy.STOP, reason=StateReason.PORTAL_PROTOCOL, shrink=False)
    return replace(failure, message=f"logging in: {failure.message}")


def _ttl_s(expires: object, now: float) -> float:
    """Return for how many seconds to share a token: a little less than the portal accepts it."""
    try:
        until = datetime.fromisoformat(str(expires))
    except ValueError:
        return UNKNOWN_TTL_S
    if until.tzinfo is None:  # in the portal's time zone, which is unknown
        return UNKNOWN_TTL_S
    return min(max(until.timestamp() - now - SHORTEST_TTL_S, SHORTEST_TTL_S), LONGEST_TTL_S)


def _refused(reason: str, left_s: float, status: int | None = None) -> Failure:
    message, _ = REFUSALS.get(reason, REFUSALS["wrong_password"])
    message = f"{message} (not tried again for {left_s:.0f} s, unless the configuration changes)"
    # No `retry_after_s`: only these credentials are not tried, and corrected ones must not have to wait.
    return Failure(Remedy.STOP, False, StateReason.PORTAL_AUTH, status, message)


def _wait(message: str, wait_s: float) -> Failure:
    until = datetime.now(UTC) + timedelta(seconds=wait_s)
    message = f"{message}; tried again at {until:%H:%M:%S} UTC"
    return Failure(Remedy.WAIT, False, StateReason.LOGIN_GUARD, None, message, retry_after_s=wait_s)


@lru_cache(maxsize=64)
def _derive(url: str, username: str, password: str) -> tuple[Fernet, str]:
    """Return the cipher for the shared token, and a fingerprint of the credentials that reveals nothing.

    Deliberately slow, hence only once per process and off the event loop.
    """
    key = slow_key(password.encode(), f"crm-sweep log-in\0{url}\0{username}")
    fingerprint = hmac.new(key, b"refused credentials", "sha256").hexdigest()[:32]
    return Fernet(base64.urlsafe_b64encode(key)), fingerprint
