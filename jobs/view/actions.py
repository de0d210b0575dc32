"""Who did what to a job or a portal, and when: kept beside what they acted on, and shown with it."""

import msgspec

from jobs.store.times import clock, iso

#: How many of the newest are shown; `jobs/store/lua/includes/actions.lua` keeps more of them.
_SHOWN = 20


class Action(msgspec.Struct, frozen=True):
    """Something that a person or another service did."""

    at: str
    """When, as ISO 8601 in UTC."""
    by: str
    """Who: the name of an API key, `cli:` and the user of the command line, `local` for an API without keys."""
    action: str
    """What: submit, pause, resume, cancel, approve, retry-failed or priority; limits or resume for a portal."""
    detail: str | None = None
    """Details, if the action alone does not say everything."""


class _Kept(msgspec.Struct):
    """An action as the scripts write it."""

    at_ms: int
    by: str
    action: str
    detail: str | int | None = None


_decode = msgspec.json.Decoder(list[_Kept]).decode


def read_actions(kept: str | bytes | None) -> tuple[Action, ...]:
    """Return the newest actions, oldest first, from the field `actions` of a hash."""
    if not kept:
        return ()
    return tuple(Action(iso(one.at_ms), one.by, one.action, _in_words(one.detail)) for one in _decode(kept)[-_SHOWN:])


def rest_in_words(until_ms: int) -> str:
    """Return a sentence about the rest that the portal had asked for and a person ended."""
    return f"the portal had asked for a rest until {clock(iso(until_ms))}"


def _in_words(detail: str | int | None) -> str | None:
    return rest_in_words(detail) if isinstance(detail, int) else detail
