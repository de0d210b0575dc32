"""Filters: which contacts of a portal a campaign is about, as a user says it, and its canonical form."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from typing import Any

import msgspec

from jobs.words.errors import BadFilter

#: Longest tag, text or name that is accepted, characters; the portal's tags have at most 255.
MAX_TEXT = 255
#: Most tags in each of the two lists.
MAX_TAGS = 50
#: The portal's IDs of stages and types are signed 32-bit integers.
MAX_LIST_ITEM_ID = 2_147_483_647

#: What a tag and a searched text look like, in JSON Schema: something besides blanks, and no control characters. A
#: comma would cut off a searched text.
TAG_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
TEXT_PATTERN = r"^[^\x00-\x1f\x7f-\x9f,]*[^\s\x00-\x1f\x7f-\x9f,][^\x00-\x1f\x7f-\x9f,]*$"
#: What a GUID looks like, in JSON Schema.
GUID_PATTERN = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_SAY_EVERYTHING = 'say --everything, or "everything": true, if every contact of the portal is meant'


class View(StrEnum):
    """The kinds of contacts that the portal can list."""

    ALL = "all"
    COMPANY = "company"
    PERSON = "person"
    WITH_OPPORTUNITY = "with_opportunity"


class Filter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a contact must be like to be selected: all that is set must hold."""

    tags: tuple[str, ...] = ()
    """Has all of these tags; case, and blanks around them, do not matter."""
    without_tags: tuple[str, ...] = ()
    """Has none of these tags, compared in the same way."""
    view: View = View.ALL
    stage: int | None = None
    """ID of the contact's stage."""
    type: int | None = None
    """ID of the contact's type."""
    responsible: str | None = None
    """GUID of the responsible user, in lower case."""
    created_from: date | None = None
    """First day of creation, in the portal's time zone."""
    created_to: date | None = None
    """Last day of creation, to its last second, in the portal's time zone."""
    without_email: bool = False
    """Has no e-mail address."""
    text: str | None = None
    """What the portal's own search finds."""
    everything: bool = False
    """Every contact of the portal; only alone."""

    def __post_init__(self) -> None:
        """Check the filter, and sort its tags: a filter that exists can be used, and has each tag once.

        Raises:
            BadFilter: it selects nothing in particular, contradicts itself, or a member has no meaning.
        """
        _keep(self, "tags", _checked_tags("tags", self.tags))
        _keep(self, "without_tags", _checked_tags("without_tags", self.without_tags))
        for member in ("stage", "type"):
            _check_id(member, getattr(self, member))
        if self.responsible is not None:
            _keep(self, "responsible", _checked_guid(self.responsible))
        if self.text is not None:
            _keep(self, "text", _checked_search(self.text))
        self._check_together()

    def _check_together(self) -> None:
        others = [name for name in self.members() if name != "everything"]
        if self.everything and others:
            raise BadFilter(
                f"given together with {', '.join(others)}, expected alone: it means all contacts", "everything"
            )
        if not self.everything and not others:
            raise BadFilter(f"given no member that selects anything, expected at least one; {_SAY_EVERYTHING}")
        unwanted = {tag_key(tag) for tag in self.without_tags}
        for tag in self.tags:
            if tag_key(tag) in unwanted:
                raise BadFilter(f"given {tag!r}, which is in tags as well; no contact can match", "without_tags")
        if self.created_from and self.created_to and self.created_from > self.created_to:
            raise BadFilter(
                f"given {self.created_from}, expected a day not after created_to, which is {self.created_to}",
                "created_from",
            )

    @classmethod
    def from_json(cls, document: bytes | str | Mapping[str, Any]) -> "Filter":
        """Read a filter as it came over HTTP, from the command line or out of Redis.

        Args:
            document: a JSON object, as text or already decoded; dates are texts such as `2024-01-31`.

        Raises:
            BadFilter: it is not a filter; the message names the member, what was given and what was expected.
        """
        if isinstance(document, bytes | str):
            try:
                document = msgspec.json.decode(document)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                raise BadFilter("given something that is not JSON, expected a JSON object") from None
        if not isinstance(document, Mapping):
            raise BadFilter(f"given {_shown(document)}, expected a JSON object")
        return cls(**{name: _member(name, value) for name, value in document.items()})

    def members(self) -> dict[str, Any]:
        """Return the members that are set, by name and in order of their names, as values of JSON."""
        members: dict[str, Any] = msgspec.to_builtins(self)
        return {name: list(members[name]) if name in _LISTS else members[name] for name in sorted(members)}

    def to_json(self) -> bytes:
        """Return the canonical JSON: sorted members, none that is not set. Equal filters have equal bytes."""
        return msgspec.json.encode(self.members())

    def __str__(self) -> str:
        """Return one line that says in words what is selected, such as `persons tagged trash, not tagged vip`."""
        kind = "every contact of the portal" if self.everything else _KINDS[self.view]
        return f"{kind} {', '.join(self._words())}".rstrip()

    def _words(self) -> Iterable[str]:
        if self.tags:
            yield f"tagged {_listed(self.tags)}"
        if self.without_tags:
            yield f"not tagged {_listed(self.without_tags, 'or')}"
        if self.stage is not None:
            yield f"in stage {self.stage}"
        if self.type is not None:
            yield f"of type {self.type}"
        if self.responsible:
            yield f"of the responsible user {self.responsible}"
        if self.created_from and self.created_to:
            yield f"created from {self.created_from} to {self.created_to}"
        elif self.created_from:
            yield f"created on {self.created_from} or later"
        elif self.created_to:
            yield f"created on {self.created_to} or earlier"
        if self.without_email:
            yield "without an e-mail address"
        if self.text:
            yield f"found by a search for {self.text!r}"


def tag_key(tag: str) -> str:
    """Return what two spellings of the same tag have in common.

    The portal's database compares tags without regard to case and to blanks around them. To compare more strictly would
    let a contact tagged `VIP` through a filter that leaves out `vip`.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", tag).strip().casefold())


_LISTS = frozenset({"tags", "without_tags"})
_KINDS = {
    View.ALL: "contacts",
    View.COMPANY: "companies",
    View.PERSON: "persons",
    View.WITH_OPPORTUNITY: "contacts with an opportunity",
}
_EXPECTED = {
    "tags": "a list of names of tags",
    "without_tags": "a list of names of tags",
    "view": f"one of {', '.join(View)}",
    "stage": "the ID of a stage, a whole number from 0",
    "type": "the ID of a type, a whole number from 0",
    "responsible": "the GUID of a user, such as 0b1c2d3e-0000-4000-8000-123456789abc",
    "created_from": "a day such as 2024-01-31",
    "created_to": "a day such as 2024-01-31",
    "without_email": "true or false",
    "text": "words to search for",
    "everything": "true or false",
}
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Filter)}


def _member(name: str, value: object) -> Any:
    """Read one member of a JSON object."""
    if name not in _TYPES:
        close = difflib.get_close_matches(str(name).casefold().replace("-", "_"), _TYPES, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"expected only {', '.join(_TYPES)}"
        raise BadFilter(f"given an unknown member {_shown(name)}; {hint}")
    if name.startswith("created_") and isinstance(value, str) and not _DATE.fullmatch(value):
        raise _unexpected(name, value)
    if type(value) is float:  # 5.0 would be taken for an integer
        raise _unexpected(name, value)
    try:
        return msgspec.convert(value, _TYPES[name])
    except (msgspec.ValidationError, ValueError):
        raise _unexpected(name, value) from None


def _checked_tags(member: str, tags: tuple[str, ...]) -> tuple[str, ...]:
    if len(tags) > MAX_TAGS:
        raise BadFilter(f"given {len(tags):,} tags, expected at most {MAX_TAGS}", member)
    known: dict[str, str] = {}
    for tag in tags:
        if not tag.strip():
            raise BadFilter(f"given {_shown(tag)}, expected names of tags that are not empty", member)
        # The first in order, so that the same tags in another order are the same filter.
        key = tag_key(_checked_text(member, tag))
        known[key] = min(known.get(key, tag), tag)
    return tuple(sorted(known.values()))


def _checked_search(text: str) -> str:
    if not text.strip():
        raise _unexpected("text", text)
    if "," in text:
        raise BadFilter(
            f"given {_shown(text)}, expected words without a comma: the portal searches only for what comes before it",
            "text",
        )
    return _checked_text("text", text)


def _checked_text(member: str, text: str) -> str:
    if len(text) > MAX_TEXT:
        raise BadFilter(f"given {text[:40]!r}… of {len(text):,} characters, expected at most {MAX_TEXT}", member)
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise BadFilter(f"given {_shown(text)}, expected text without control characters", member)
    return text


def _checked_guid(guid: str) -> str:
    if not _GUID.fullmatch(guid.lower()):
        raise _unexpected("responsible", guid)
    return guid.lower()


def _check_id(member: str, value: int | None) -> None:
    if value is not None and not 0 <= value <= MAX_LIST_ITEM_ID:
        raise _unexpected(member, value)


def _unexpected(member: str, value: object) -> BadFilter:
    return BadFilter(f"given {_shown(value)}, expected {_EXPECTED[member]}", member)


def _shown(value: object) -> str:
    """Show a value as it may have been written, on one line and not too long."""
    shown = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"


def _listed(names: tuple[str, ...], last: str = "and") -> str:
    # Quoted where the name alone could be read as more than one, or as part of the sentence.
    quoted = [name if re.fullmatch(r"[\w-]+", name) else repr(name) for name in names]
    return f" {last} ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))


def _keep(selection: Filter, member: str, value: object) -> None:
    msgspec.structs.force_setattr(selection, member, value)
