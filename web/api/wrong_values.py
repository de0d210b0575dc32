"""Describes what is wrong with a parameter or a member of a document, in the API's own words, not a library's."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

#: Characters of a complaint that are passed on: the name of a member that it quotes may be as long as the document.
_LONGEST_WHY = 300

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_CHOICE = re.compile(r"Invalid enum value (.*)", re.DOTALL)
_KIND = re.compile(r"Expected `([a-z |]+)`(?:, got `(\w+)`)?(?: ([<>]=) (\S+))?")

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_BOUNDS = {">=": "at least", "<=": "at most"}


def in_words(error: msgspec.ValidationError, root: str, wanted: type) -> tuple[str, str]:
    """Describe what is wrong, and where.

    Args:
        error: what msgspec complains about, such as "Expected `int`, got `str` - at `$.limit`".
        root: what was read: "query" or "body".
        wanted: the struct that it should have been.

    Returns:
        The place, such as "query.limit", and what is wrong there, without a full stop.
    """
    why, at, path = str(error).rpartition(" - at `$")
    if not at:
        why, path = str(error), ""
    path = path.removesuffix("`")
    return f"{root}{path}"[:_LONGEST_WHY], _why(why, root, path, wanted)[:_LONGEST_WHY]


def _why(why: str, root: str, path: str, wanted: type) -> str:
    what = "parameter" if root == "query" else "member"
    if unknown := _UNKNOWN.fullmatch(why):
        names = [field.encode_name for field in msgspec.structs.fields(wanted)] if not path else []
        near = difflib.get_close_matches(unknown[1], names, n=1, cutoff=0.75)
        return f"there is no {what} {unknown[1]!r}" + (f" (did you mean {near[0]}?)" if near else "")
    if missing := _MISSING.fullmatch(why):
        return f"the {what} {missing[1]} is missing"
    if choice := _CHOICE.fullmatch(why):
        choices = list(_choices(wanted, path.removeprefix(".")))
        return f"{choice[1]} is not one of {', '.join(choices)}" if choices else why
    if kind := _KIND.fullmatch(why):
        expected = " or ".join(_KINDS.get(name, name) for name in kind[1].split(" | "))
        bound = f" of {_BOUNDS[kind[3]]} {kind[4]}" if kind[3] else ""
        return f"expected {expected}{bound}" + (f", not {_KINDS.get(kind[2], kind[2])}" if kind[2] else "")
    return why


def _choices(wanted: type, name: str) -> Iterator[str]:
    """Yield the values that a field may have, if these are a few words."""
    for field in msgspec.structs.fields(wanted):
        if field.encode_name == name:
            yield from _values(msgspec.inspect.type_info(field.type))


def _values(kind: Any) -> Iterable[str]:
    match kind:
        case msgspec.inspect.EnumType(cls=enum):
            return [str(member.value) for member in enum]
        case msgspec.inspect.LiteralType(values=values):
            return map(str, values)
        case msgspec.inspect.UnionType(types=kinds):
            return [value for one in kinds for value in _values(one)]
        case msgspec.inspect.Metadata(type=inner):
            return _values(inner)
    return []
