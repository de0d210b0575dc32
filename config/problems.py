"""Lines for the operator about what pydantic found wrong, without showing a secret."""

import difflib
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.redis_url import redact_url
from config.reference import ANY_NAME, Setting, children, env_name, find_setting
from config.sources import Sources

#: Longest piece of a wrong value that is shown, in characters.
_SHOWN_CHARS = 80

_NAME_RULE = "a name of 1 to 32 characters a-z, 0-9, _ and -, the first a letter or digit"

Path = tuple[str | int, ...]


def describe_errors(error: ValidationError, sources: Sources) -> list[str]:
    """Return one line per error: the setting, where it came from, what was given, what was expected.

    Args:
        error: of the `Settings` model.
        sources: what was validated.
    """
    return [_describe(details, sources) for details in error.errors(include_url=False)]


def describe(path: Path, problem: str, sources: Sources) -> str:
    """Return the line of one problem.

    Args:
        path: of the setting.
        problem: what was given and what was expected.
        sources: where the settings came from.
    """
    return f"{_name(path)}{_origin(path, sources)}: {problem}"


def _describe(details: ErrorDetails, sources: Sources) -> str:
    context = details.get("ctx", {})
    path = tuple(details["loc"])
    if context.get("field"):
        path = (*path[:-1], context["field"])
    if path[0] == "portals" and len(path) == 3 and path[2] == "name":
        return _line(path[:2], sources, given=_quoted(str(path[1])), expected=_NAME_RULE)
    if details["type"] == "extra_forbidden":
        return f"{_name(path)}{_origin(path, sources)}: unknown setting{_did_you_mean(path)}"
    # A list of words describes its items.
    setting = find_setting(path) or (find_setting(path[:-1]) if isinstance(path[-1], int) else None)
    given = context.get("given") or _given(details, setting)
    if details["type"] == "missing":
        given = "nothing"
    expected = context["expected"] if details["type"] == "refused" else _expected(path, setting)
    return _line(path, sources, given=given, expected=expected)


def _line(path: Path, sources: Sources, *, given: str, expected: str) -> str:
    return describe(path, f"given {given}, expected {expected}", sources)


def _name(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _origin(path: Path, sources: Sources) -> str:
    origin = sources.origin(path)
    if origin:
        return f" ({origin})"
    if find_setting(path) is None or any(isinstance(part, int) for part in path):
        return ""
    return f" (not set; in the environment {env_name(tuple(str(part) for part in path))})"


def _given(details: ErrorDetails, setting: Setting | None) -> str:
    """Return the wrong value in a form that may be shown."""
    value: Any = details["input"]
    if isinstance(value, dict | list | tuple):
        return "a table" if isinstance(value, dict) else "a list"
    if setting is None or setting.kind == "list":  # no place for a single value: it could be a misplaced secret
        return f"a single value ({type(value).__name__})"
    # Something other than an address in place of Redis's address could be the password that belongs in it.
    if setting.is_secret or (setting.path == ("redis", "url") and "://" not in str(value)):
        return "an empty string" if value == "" else "***"
    if isinstance(value, str):
        return _quoted(redact_url(value) if setting.is_address else value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")


def _expected(path: Path, setting: Setting | None) -> str:
    if setting is None:
        return "a table of settings"
    return _NAME_RULE if path[0] in {"api", "schedules", "webhooks"} and path[-1] == "name" else setting.expected


def _did_you_mean(path: Path) -> str:
    known = [name for name in children(path[:-1]) if name != ANY_NAME]
    match = difflib.get_close_matches(str(path[-1]).lower(), known, n=1)
    if match:
        return f"; did you mean {_name((*path[:-1], match[0]))}?"
    return f"; expected one of {', '.join(known)}"
