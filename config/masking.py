"""The secrets of this process, and how to keep them out of text.

Two nets, because either alone has holes: values are compared with the known secrets, and fields with telltale names
are masked whatever they hold.
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

import msgspec

MASK = "***"

#: A shorter secret is masked only where it is the whole value: masking "ab" in every word would ruin the log.
MIN_PART_CHARS = 4

#: A field whose name ends with one of these is masked whatever it holds.
SENSITIVE_ENDINGS = (
    "token",
    "password",
    "passwd",
    "secret",
    "authorization",
    "cookie",
    "credentials",
    "api_key",
    "auth_key",
)

#: Names in free text whose value is masked, as in `Authorization: …`, `token=…` or a dict's repr.
_NAMED_IN_TEXT = re.compile(
    r"(?i)(\b(?:set-)?(?:authorization|cookie|password|passwd|asc_auth_key)\b['\"]?\s*[:=]\s*['\"]?)"
    r"((?:(?:bearer|basic)\s+)?[^\s'\",;)}]+)"
)
#: What redis-py and Redis repeat of a command in an error: its arguments may be part of a user's list.
_COMMAND_IN_ERROR = re.compile(r"(Command # \d+ )\(.*\)( of pipeline caused error)", re.DOTALL)
_ARGUMENTS_IN_ERROR = re.compile(r"(with args beginning with:).*")

_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+@", re.IGNORECASE)


class _Known:
    """The secrets registered so far, in the forms that are searched for."""

    def __init__(self) -> None:
        self.whole: frozenset[str] = frozenset()
        #: Those long enough to be masked inside longer text, longest first: one may be part of another.
        self.parts: tuple[str, ...] = ()
        #: All of them as they look in a line of JSON.
        self.needles: tuple[bytes, ...] = ()


_known = _Known()


def register_secret(value: str) -> None:
    """Register a secret: from now on no log line of this process shows it.

    Args:
        value: the secret itself; an empty one is ignored.
    """
    if not value or value in _known.whole:
        return
    # Also as it looks in a repr and percent-encoded in a URL.
    _known.whole |= {value, repr(value)[1:-1], quote(value, safe="", errors="replace")}
    _known.parts = tuple(sorted((s for s in _known.whole if len(s) >= MIN_PART_CHARS), key=len, reverse=True))
    _known.needles = tuple(_needle(secret) for secret in _known.whole)


def line_shows_secret(line: bytes) -> bool:
    """Check whether a rendered JSON line holds a known secret. False alarms are possible, misses are not."""
    return any(needle in line for needle in _known.needles)


def mask_text(text: str) -> str:
    """Return the text with known secrets, passwords in URLs, values named like secrets and Redis commands masked."""
    if text in _known.whole:
        return MASK
    for secret in _known.parts:
        if secret in text:
            text = text.replace(secret, MASK)
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1{MASK}@", text)
    if "of pipeline caused error" in text:
        text = _COMMAND_IN_ERROR.sub(rf"\1({MASK})\2", text)
    if "with args beginning with" in text:
        text = _ARGUMENTS_IN_ERROR.sub(rf"\1 {MASK}", text)
    return _NAMED_IN_TEXT.sub(rf"\1{MASK}", text)


def mask_value(value: Any) -> Any:
    """Return a value of any shape with the secrets in it masked, as plain JSON data.

    Args:
        value: scalars, dicts and sequences at any depth; anything else is represented by its `repr`.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {mask_text(str(key)): mask_field(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask_value(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    text = str(value) if isinstance(value, PurePath) else repr(value)
    masked = mask_text(text)
    return value if isinstance(value, int | float) and masked == text else masked


def mask_field(name: str, value: Any) -> Any:
    """Return a field's value, masked as a whole if the field's name marks it as a secret."""
    if is_sensitive(name) and value is not None and not isinstance(value, bool):
        return MASK
    return mask_value(value)


@lru_cache(maxsize=1024)
def is_sensitive(name: str) -> bool:
    """Check whether a field's name marks its value as a secret: `access_token`, `Set-Cookie`, `X-Api-Key`."""
    return name.lower().replace("-", "_").endswith(SENSITIVE_ENDINGS)


def _needle(secret: str) -> bytes:
    """Return a secret as it looks in a line of JSON; a short one only as a whole string."""
    try:
        quoted = msgspec.json.encode(secret)
    except UnicodeEncodeError:  # bytes that are not text, from the environment
        quoted = msgspec.json.encode(secret.encode(errors="replace").decode())
    return quoted[1:-1] if len(secret) >= MIN_PART_CHARS else quoted
