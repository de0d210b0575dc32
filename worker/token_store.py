"""What the workers of a portal share about logging in: the token, whose turn it is, and what went wrong.

The keys and how long they live are in jobs/store/catalogue.py.
"""

import time
from typing import Protocol

from redis.asyncio import Redis

from jobs.store import keys
from jobs.store.scripts import Script

#: A portal locks an account after more than 5 unsuccessful attempts in 60 s, and people log in too.
MAX_ATTEMPTS = 3
ATTEMPT_WINDOW_S = 60.0
#: How long a worker that dies while logging in keeps the others waiting; one that is alive renews its turn.
LOCK_TTL_S = 8.0

_COMPARE_AND_DELETE = Script("compare_and_delete", "worker.lua")
_COMPARE_AND_EXPIRE = Script("compare_and_expire", "worker.lua")
_COUNT_LOGIN_ATTEMPT = Script("count_login_attempt", "worker.lua")


class TokenStore(Protocol):
    """One portal's shared facts about logging in. Holds no secret in the clear: tokens are passed in and out sealed."""

    async def load(self) -> bytes | None:
        """Return the sealed token, if there is one."""

    async def save(self, sealed: bytes, ttl_s: float) -> None:
        """Share a sealed token for this long, replacing whatever was there."""

    async def forget(self, sealed: bytes) -> None:
        """Drop this sealed token; another one that has replaced it stays."""

    async def begin_login(self, owner: bytes) -> bool:
        """Take the turn to log in, for `LOCK_TTL_S` unless it is kept; return False if another worker has it."""

    async def keep_login(self, owner: bytes) -> None:
        """Keep the turn for another `LOCK_TTL_S`, if it is still this owner's."""

    async def end_login(self, owner: bytes) -> None:
        """Give the turn back, if it is still this owner's."""

    async def count_attempt(self, attempt: bytes) -> float:
        """Count an attempt to log in; return 0 to go ahead, or the seconds to wait because too many did not succeed.

        Args:
            attempt: its globally unique name.
        """

    async def give_back(self, attempt: bytes) -> None:
        """Uncount an attempt that has succeeded or never reached the portal."""

    async def remember_refusal(self, fingerprint: str, reason: str, cool_down_s: float) -> None:
        """Record that the credentials with this fingerprint were refused, so that no worker tries them for a while."""

    async def recall_refusal(self, fingerprint: str) -> tuple[str, float] | None:
        """Return why these credentials were refused, and for how many more seconds not to try them."""


class RedisTokenStore:
    """The store of a fleet.

    Args:
        redis: a connection with `decode_responses=False`.
        portal_name: the portal's name in the configuration.

    Every method raises what redis-py raises if the server is away.
    """

    def __init__(self, redis: Redis, portal_name: str) -> None:
        self._redis = redis
        self._portal_name = portal_name
        self._token_key = keys.token(portal_name)
        self._lock_key = keys.login(portal_name)
        self._tries_key = keys.login_tries(portal_name)

    async def load(self) -> bytes | None:
        """Return the sealed token, if there is one."""
        sealed: bytes | None = await self._redis.get(self._token_key)
        return sealed

    async def save(self, sealed: bytes, ttl_s: float) -> None:
        """Share a sealed token."""
        await self._redis.set(self._token_key, sealed, px=_ms(ttl_s))

    async def forget(self, sealed: bytes) -> None:
        """Drop this sealed token and no other."""
        await _COMPARE_AND_DELETE(self._redis, [self._token_key], [sealed])

    async def begin_login(self, owner: bytes) -> bool:
        """Take the turn to log in."""
        if await self._redis.set(self._lock_key, owner, nx=True, px=_ms(LOCK_TTL_S)):
            return True
        if await self._redis.pttl(self._lock_key) > _ms(LOCK_TTL_S):
            # The server's clock was set back; the turn of a worker that has died must not last until it has caught up.
            await self._redis.pexpire(self._lock_key, _ms(LOCK_TTL_S))
        # The turn may be this owner's: the reply that said so was lost, and the connection sent the command again.
        return bool(await self._redis.get(self._lock_key) == owner)

    async def keep_login(self, owner: bytes) -> None:
        """Keep the turn."""
        await _COMPARE_AND_EXPIRE(self._redis, [self._lock_key], [owner, _ms(LOCK_TTL_S)])

    async def end_login(self, owner: bytes) -> None:
        """Give the turn back."""
        await _COMPARE_AND_DELETE(self._redis, [self._lock_key], [owner])

    async def count_attempt(self, attempt: bytes) -> float:
        """Count an attempt to log in, or return how long to wait."""
        arguments: list[int | bytes] = [MAX_ATTEMPTS, _ms(ATTEMPT_WINDOW_S), attempt]
        return int(await _COUNT_LOGIN_ATTEMPT(self._redis, [self._tries_key], arguments)) / 1000

    async def give_back(self, attempt: bytes) -> None:
        """Uncount an attempt. One that has left the window by now is already gone."""
        await self._redis.zrem(self._tries_key, attempt)

    async def remember_refusal(self, fingerprint: str, reason: str, cool_down_s: float) -> None:
        """Record that these credentials were refused."""
        key = keys.login_refused(self._portal_name, fingerprint)
        await self._redis.set(key, reason.encode(), px=_ms(cool_down_s))

    async def recall_refusal(self, fingerprint: str) -> tuple[str, float] | None:
        """Return why these credentials were refused, and for how much longer."""
        key = keys.login_refused(self._portal_name, fingerprint)
        reason = await self._redis.get(key)
        left_ms = await self._redis.pttl(key)
        return (reason.decode(), left_ms / 1000) if reason is not None and left_ms > 0 else None


class LocalTokenStore:
    """The store of a single process, for `crm-sweep check` and for portals whose token is configured."""

    def __init__(self) -> None:
        self._token: tuple[bytes, float] | None = None
        self._owner: bytes | None = None
        self._tries: dict[bytes, float] = {}
        self._refusals: dict[str, tuple[str, float]] = {}

    async def load(self) -> bytes | None:
        """Return the sealed token, if there is one."""
        return self._token[0] if self._token is not None and self._token[1] > time.monotonic() else None

    async def save(self, sealed: bytes, ttl_s: float) -> None:
        """Keep a sealed token."""
        self._token = (sealed, time.monotonic() + ttl_s)

    async def forget(self, sealed: bytes) -> None:
        """Drop this sealed token and no other."""
        if self._token is not None and self._token[0] == sealed:
            self._token = None

    async def begin_login(self, owner: bytes) -> bool:
        """Take the turn to log in."""
        if self._owner is None:
            self._owner = owner
        return self._owner == owner

    async def keep_login(self, owner: bytes) -> None:
        """Do nothing: this process is the only one."""

    async def end_login(self, owner: bytes) -> None:
        """Give the turn back."""
        if self._owner == owner:
            self._owner = None

    async def count_attempt(self, attempt: bytes) -> float:
        """Count an attempt to log in, or return how long to wait."""
        now = time.monotonic()
        self._tries = {one: at for one, at in self._tries.items() if at + ATTEMPT_WINDOW_S > now}
        if attempt in self._tries:
            return 0.0
        if len(self._tries) >= MAX_ATTEMPTS:
            return min(self._tries.values()) + ATTEMPT_WINDOW_S - now
        self._tries[attempt] = now
        return 0.0

    async def give_back(self, attempt: bytes) -> None:
        """Uncount an attempt."""
        self._tries.pop(attempt, None)

    async def remember_refusal(self, fingerprint: str, reason: str, cool_down_s: float) -> None:
        """Record that these credentials were refused."""
        self._refusals[fingerprint] = (reason, time.monotonic() + cool_down_s)

    async def recall_refusal(self, fingerprint: str) -> tuple[str, float] | None:
        """Return why these credentials were refused, and for how much longer."""
        reason, until = self._refusals.get(fingerprint, ("", 0.0))
        left_s = until - time.monotonic()
        return (reason, left_s) if left_s > 0 else None


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
