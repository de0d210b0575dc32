"""Who is calling: tokens, the three forms of the header, the fallback to a cookie, log-in and its lock-out."""

import base64
import binascii
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from simulator import replies as answers
from simulator.behaviour import Behaviour
from simulator.replies import Answer, PortalError, error, json_text, success

COOKIE = "asc_auth_key"


class Authentication:
    """The sessions of the portal's one account."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._issued: dict[str, float] = {behaviour.token: time.monotonic()}
        self._throttle = LoginThrottle(behaviour)

    def log_out_everywhere(self) -> None:
        """End every session, including that of the configured token."""
        self._issued.clear()

    def accept(self, token: str) -> None:
        """Make a token valid from now on."""
        self._issued[token] = time.monotonic()

    def check(self, headers: Mapping[str, str], cookie: str | None) -> dict[str, str]:
        """Let the call through and return the headers for its answer.

        With a bad header the cookie decides; only a good header is answered with a cookie.

        Raises:
            PortalError: 401.
        """
        if not self._behaviour.authentication_required:
            return {}
        given = headers.get("Authorization")
        token = self._token_of(given) if given else None
        if token is not None:
            return {"Set-Cookie": f"{COOKIE}={token}; path=/; HttpOnly"}
        if cookie is not None and self._valid(cookie):
            return {}
        raise PortalError(answers.unauthorized(challenge=given is not None))

    def log_in(self, body: bytes, address: str, code: str | None) -> Answer:
        """Answer a log-in, with or without the code of a second factor.

        Raises:
            PortalError: 500 for wrong credentials, a wrong code, and while locked out.
        """
        user_name, password = _credentials(body)
        self._throttle.enter(user_name, address)
        if not (user_name and self._right(user_name, password)):
            raise PortalError(error(500, "User authentication failed", answers.AUTHENTICATION))
        factor = self._behaviour.second_factor
        if factor and code is None:
            self._throttle.give_back(user_name, address)
            return _second_factor_wanted(factor)
        if factor and code != self._behaviour.second_factor_code:
            raise PortalError(error(500, "User authentication failed", answers.AUTHENTICATION))
        self._throttle.give_back(user_name, address)
        token = secrets.token_urlsafe(32)
        self.accept(token)
        session = {"token": token, "expires": _wire_time(self._behaviour.token_lifetime_s)}
        return success(json_text(session), count=1, status=201, casing=self._behaviour.envelope_casing)

    def _token_of(self, header: str) -> str | None:
        """Return the token that the header holds or whose credentials it holds, or None."""
        scheme, _, rest = header.partition(" ")
        if scheme == "Basic":
            try:
                user_name, password = base64.b64decode(rest, validate=True).decode("ascii").split(":")
            except (binascii.Error, ValueError):
                return None
            if not self._right(user_name, password):
                return None
            token = secrets.token_urlsafe(32)
            self.accept(token)
            return token
        token = rest if scheme == "Bearer" else header
        return token if self._valid(token) else None

    def _valid(self, token: str) -> bool:
        since = self._issued.get(token)
        return since is not None and time.monotonic() - since < self._behaviour.token_lifetime_s

    def _right(self, user_name: str, password: str) -> bool:
        return (user_name, password) == (self._behaviour.user_name, self._behaviour.password)


class LoginThrottle:
    """Blocks log-ins from an address after too many tries; a successful try does not count."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._tries: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._blocked_until: dict[tuple[str, str], float] = {}

    def enter(self, user_name: str, address: str) -> None:
        """Count a try.

        Raises:
            PortalError: 500 while locked out.
        """
        key, now = (user_name, address), time.monotonic()
        tries = self._tries[key]
        while tries and now - tries[0] >= self._behaviour.lockout_window_s:
            tries.popleft()
        tries.append(now)
        if len(tries) > self._behaviour.lockout_attempts and self._blocked_until.get(key, 0) <= now:
            self._blocked_until[key] = now + self._behaviour.lockout_block_s
            tries.clear()
        if self._blocked_until.get(key, 0) > now:
            raise PortalError(error(500, "Login Fail. Too many attempts", answers.AUTHENTICATION))

    def give_back(self, user_name: str, address: str) -> None:
        """Uncount the last try, which succeeded."""
        tries = self._tries[user_name, address]
        if tries:
            tries.pop()


def _credentials(body: bytes) -> tuple[str, str]:
    try:
        document = msgspec.json.decode(body, type=dict[str, object])
    except msgspec.MsgspecError as problem:
        raise PortalError(error(400, f"Unable to deserialize json: {problem}", answers.GENERIC)) from None
    given = {name.lower(): value for name, value in document.items()}
    return str(given.get("username") or ""), str(given.get("password") or "")


def _second_factor_wanted(factor: str) -> Answer:
    wanted: dict[str, object] = {"token": None, factor: True}
    if factor == "sms":
        wanted |= {"phoneNoise": "+1*******89", "expires": _wire_time(600)}
    return success(json_text(wanted), count=1, status=201)


def _wire_time(in_s: float) -> str:
    moment = datetime.now(UTC) + timedelta(seconds=in_s)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.0000000Z")
