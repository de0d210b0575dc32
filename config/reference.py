"""Every setting as a row: the single source for error messages, environment variables and the documentation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.fields import Section, Unit
from config.models import Settings
from config.portal import Portal
from config.redis_url import RedisUrl

#: Prefix and separator of the environment variables.
ENV_PREFIX = "CRM_SWEEP_"
ENV_SEPARATOR = "__"

#: Placeholders in a path: for the name of a portal, and for the position in a list.
ANY_NAME = "<name>"
ANY_ITEM = "[]"

Kind = Literal["integer", "number", "text", "choice", "path", "secret", "switch", "list", "table"]

_KINDS: Mapping[type, Kind] = {
    int: "integer",
    float: "number",
    bool: "switch",
    str: "text",
    Path: "path",
    SecretStr: "secret",
}
#: Addresses, shown without their credentials rather than masked as a whole; each with an example.
_ADDRESSES: Mapping[tuple[str, ...], str] = {
    ("redis", "url"): "redis://host:6379/0",
    ("portals", ANY_NAME, "url"): "https://crm.example.com",
    ("portals", ANY_NAME, "proxy"): "http://proxy.example.com:3128",
}
#: Masked as a whole: a user may have put the key itself where its digest belongs.
_MASKED = frozenset({("api", "keys", ANY_ITEM, "key_sha256")})


@dataclass(frozen=True)
class Setting:
    """One setting. Its path starts at the root; `<name>` stands for any portal and `[]` for any list item."""

    path: tuple[str, ...]
    kind: Kind
    choices: tuple[str, ...]
    lowest: float | None
    highest: float | None
    #: Whether `lowest` itself is too low.
    above_lowest: bool
    #: As text; empty if the setting is required, or has no value unless given.
    default: str
    required: bool
    unit: str
    #: The table that it stands in; the text under it is one sentence about it.
    section: type[Section]
    #: Whether it is a list of tables, each with settings of its own.
    holds_tables: bool = False

    @property
    def name(self) -> str:
        """The setting's name in messages, such as `portals.<name>.burst`."""
        return ".".join(self.path).replace(".[]", "[]")

    @property
    def env(self) -> str:
        """The environment variable, such as `CRM_SWEEP_PORTALS__<NAME>__BURST`; empty for parts of a list."""
        return "" if ANY_ITEM in self.path else env_name(self.path)

    @property
    def is_secret(self) -> bool:
        """Whether the value is masked wherever it is shown."""
        return self.kind == "secret" or self.path in _MASKED

    @property
    def is_address(self) -> bool:
        """Whether the value is a URL, shown without anything that could be a secret."""
        return self.path in _ADDRESSES

    @property
    def range(self) -> str:
        """The range or the choices as text; empty if there is neither."""
        if self.choices:
            return ", ".join(self.choices)
        if self.lowest is None:
            return ""
        if self.above_lowest:
            return f"above {self.lowest:g}, at most {self.highest:g}"
        return f"{self.lowest:g} or more" if self.highest is None else f"{self.lowest:g} to {self.highest:g}"

    @property
    def expected(self) -> str:
        """What a valid value looks like, worded as the end of "expected …"."""
        if self.choices:
            words = "one or more of" if self.kind == "list" else "one of"
            return f"{words} {self.range}"
        if self.is_address:
            return f"an address such as {_ADDRESSES[self.path]}"
        noun = {
            "integer": "a whole number",
            "number": "a number",
            "text": "a string",
            "choice": "a string",
            "path": "the path of a file",
            "secret": "a string",
            "switch": "true or false",
            "list": "a list of tables" if self.holds_tables else "a list of strings",
            "table": "a table",
        }[self.kind]
        if not self.range:
            return noun
        if self.above_lowest:
            return f"{noun} {self.range}"
        return f"{noun} of {self.range}" if self.highest is None else f"{noun} from {self.range}"


def env_name(path: tuple[str, ...]) -> str:
    """Return the environment variable of a setting."""
    return ENV_PREFIX + ENV_SEPARATOR.join(part.upper().replace("-", "_") for part in path)


@cache
def all_settings() -> Mapping[tuple[str, ...], Setting]:
    """Return every setting by its path, in the order of the models."""
    return {setting.path: setting for setting in _walk(Settings, ())}


def find_setting(path: tuple[str | int, ...]) -> Setting | None:
    """Return the setting at a concrete path such as `("portals", "main", "burst")`; None if there is none."""
    return all_settings().get(_general(path))


def children(path: tuple[str | int, ...]) -> list[str]:
    """Return the names allowed in the table at a concrete path; `<name>` if any name is."""
    general = _general(path)
    names = (key[len(general)] for key in all_settings() if key[: len(general)] == general and len(key) > len(general))
    return list(dict.fromkeys(names))


def _general(path: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return a concrete path with its portal name and list positions replaced by placeholders."""
    return tuple(
        ANY_ITEM if isinstance(part, int) else ANY_NAME if position == 1 and path[0] == "portals" else part
        for position, part in enumerate(path)
    )


def _walk(model: type[Section], prefix: tuple[str, ...]) -> Iterator[Setting]:
    for key, field in _own_first(model):
        if model is Portal and key == "name":
            continue  # the key of its table, not a setting inside it
        path = (*prefix, key)
        kind = _bare(field.annotation)
        arguments = get_args(kind)
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _walk(kind, path)
        elif get_origin(kind) is Mapping:
            yield from _walk(arguments[1], (*path, ANY_NAME))
        else:
            leaf = _leaf(model, path, kind, field)
            yield leaf
            if leaf.holds_tables:
                yield from _walk(arguments[0], (*path, ANY_ITEM))


def _own_first(model: type[Section]) -> list[tuple[str, FieldInfo]]:
    """Return the fields of a model, those that it inherits last."""
    own = model.__annotations__
    return sorted(model.model_fields.items(), key=lambda pair: pair[0] not in own)


def _leaf(section: type[Section], path: tuple[str, ...], annotation: Any, field: FieldInfo) -> Setting:
    is_list = get_origin(annotation) is tuple
    inner = get_args(annotation)[0] if is_list else annotation
    choices = get_args(inner) if get_origin(inner) is Literal else ()
    is_table = get_origin(inner) is dict
    kind: Kind = (
        "list"
        if is_list
        else "table"
        if is_table
        else "choice"
        if choices
        else "text"
        if inner is RedisUrl
        else _KINDS[inner]
    )
    lowest = next((float(str(item.ge)) for item in field.metadata if isinstance(item, Ge)), None)
    above = next((float(str(item.gt)) for item in field.metadata if isinstance(item, Gt)), None)
    highest = next((float(str(item.le)) for item in field.metadata if isinstance(item, Le)), None)
    unit = next((item.symbol for item in field.metadata if isinstance(item, Unit)), "")
    return Setting(
        path=path,
        kind=kind,
        choices=choices,
        lowest=lowest if above is None else above,
        highest=highest,
        above_lowest=above is not None,
        default=_default_text(field.default),
        required=field.is_required(),
        unit=unit,
        section=section,
        holds_tables=is_list and isinstance(inner, type) and issubclass(inner, Section),
    )


def _default_text(default: object) -> str:
    if default is PydanticUndefined or default is None or default == ():
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def _bare(annotation: Any) -> Any:
    """Return the type of an optional field, without None and its annotations."""
    if get_origin(annotation) in {Union, UnionType}:
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
