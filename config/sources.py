"""Where settings come from: one TOML file and the environment, merged key by key, with the origin of each value."""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.reference import (
    ANY_ITEM,
    ANY_NAME,
    ENV_PREFIX,
    ENV_SEPARATOR,
    Setting,
    all_settings,
    env_name,
    find_setting,
)
from config.service_links import is_service_link
from config.text_file import NotText, decode_text

#: The variable that names the configuration file; the only one with our prefix that is not a setting.
CONFIG_VARIABLE = "CRM_SWEEP_CONFIG"
DEFAULT_FILE = Path("crm-sweep.toml")

#: Settings that say the same thing in different ways: one in the environment displaces these from the file.
_DISPLACES: Mapping[str, frozenset[str]] = {
    "token": frozenset({"token_file", "username", "password", "password_file"}),
    "token_file": frozenset({"token", "username", "password", "password_file"}),
    "username": frozenset({"token", "token_file"}),
    "password": frozenset({"token", "token_file", "password_file"}),
    "password_file": frozenset({"token", "token_file", "password"}),
    "proxy_password": frozenset({"proxy_password_file"}),
    "proxy_password_file": frozenset({"proxy_password"}),
}


@dataclass
class Sources:
    """What was read, before it is checked against the models."""

    #: The merged tables, in the structure of the TOML file.
    data: dict[str, Any] = field(default_factory=dict)
    #: The file that was read; None if there was none.
    file: Path | None = None
    #: The environment variable that gave the setting at a path.
    variables: dict[tuple[str, ...], str] = field(default_factory=dict)
    #: The problems found so far.
    problems: list[str] = field(default_factory=list)

    def origin(self, path: tuple[str | int, ...]) -> str:
        """Return in words where the value at a path came from; empty if none was given."""
        for length in range(len(path), 0, -1):
            variable = self.variables.get(tuple(str(part) for part in path[:length]))
            if variable:
                return f"environment variable {variable}"
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return ""
        return f"file {self.file}"


def read_sources(path: Path | None, environ: Mapping[str, str]) -> Sources:
    """Read the file, then overlay the environment.

    Args:
        path: the TOML file, or None for the usual places.
        environ: the environment.
    """
    sources = Sources()
    path, named_by = file_to_read(path, environ)
    if path is not None:
        _read_file(sources, path, named_by)
    for name in sorted(environ):
        if name.upper().startswith(ENV_PREFIX) and name != CONFIG_VARIABLE:
            _lay_over(sources, name, environ)
    return sources


def file_to_read(path: Path | None, environ: Mapping[str, str]) -> tuple[Path | None, str]:
    """Return the file that has the settings.

    Args:
        path: the one that was asked for, or None for the usual places.
        environ: the environment.

    Returns:
        The file, None if there is none; and what named it, in brackets, empty if that is obvious.
    """
    if path is None and environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE]), f" (named by {CONFIG_VARIABLE})"
    if path is None and DEFAULT_FILE.exists():
        return DEFAULT_FILE, ""
    return path, ""


def _read_file(sources: Sources, path: Path, named_by: str) -> None:
    sources.file = path
    try:
        sources.data = tomllib.loads(decode_text(path.read_bytes()))
    except OSError as error:
        sources.problems.append(f"{path}{named_by}: cannot be read: {error.strerror or type(error).__name__}")
    except NotText as error:
        sources.problems.append(f"{path}{named_by}: not UTF-8 text: {error}")
    except tomllib.TOMLDecodeError as error:
        sources.problems.append(f"{path}{named_by}: not valid TOML: {error}")
    for key, portal in _table(sources.data, "portals").items():
        if isinstance(portal, dict) and portal.pop("name", None) is not None:
            sources.problems.append(
                f"portals.{key}.name (file {path}): unknown setting; expected no name inside the table, "
                f"as [portals.{key}] already names the portal"
            )


def _lay_over(sources: Sources, name: str, environ: Mapping[str, str]) -> None:
    """Put one environment variable's value into the data, in the type of its setting."""
    keys = tuple(name.removeprefix(ENV_PREFIX).lower().split(ENV_SEPARATOR))
    if len(keys) == 3 and keys[0] == "portals":
        keys = ("portals", _portal_key(sources.data, keys[1]), keys[2])
    setting = find_setting(keys) if name.isupper() else None
    if setting is None or ANY_ITEM in setting.path or "" in keys:
        if not is_service_link(name, environ):
            sources.problems.append(_unknown_variable(name, sources.data))
        return
    table = sources.data
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            return  # the file has something other than a table there; the models report it
    for rival in _DISPLACES.get(keys[-1], frozenset()) if keys[0] in {"portals", "redis"} else ():
        if (*keys[:-1], rival) not in sources.variables:
            table.pop(rival, None)
    sources.variables[keys] = name
    table[keys[-1]] = _typed(setting, environ[name])


def _portal_key(data: dict[str, Any], name: str) -> str:
    """Return the configured portal that a variable means: shells cannot write `-`, so `_` can stand for it."""
    portals = _table(data, "portals")
    if name in portals:
        return name
    return next((key for key in portals if key.replace("-", "_") == name), name)


def _typed(setting: Setting, text: str) -> Any:
    """Return a variable's text as its setting's type, or unchanged if it does not look like that type."""
    if setting.kind == "integer" and re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if setting.kind == "number" and re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text):
        return float(text)
    if setting.kind == "switch" and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if setting.kind == "list":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _unknown_variable(name: str, data: dict[str, Any]) -> str:
    """Return a message that a variable matches no setting, with the one that may have been meant."""
    portals = list(_table(data, "portals")) or ["main"]
    parts = name.upper().split(ENV_SEPARATOR)
    if len(parts) == 3:
        portals.append(parts[1].lower())
    known = [CONFIG_VARIABLE]
    for setting in all_settings().values():
        if ANY_NAME in setting.path:
            known += [env_name(("portals", portal, setting.path[-1])) for portal in portals]
        elif setting.env:
            known.append(setting.env)
    # The part that all names, or all settings of a portal, share must not make unrelated names look similar.
    common = [f"{ENV_PREFIX}PORTALS{ENV_SEPARATOR}{portal.upper().replace('-', '_')}_" for portal in portals]
    shared = next((start for start in common if name.upper().startswith(start)), ENV_PREFIX)
    own = {candidate.removeprefix(shared).lstrip("_"): candidate for candidate in known if candidate.startswith(shared)}
    match = difflib.get_close_matches(name.upper().removeprefix(shared).lstrip("_"), own, n=1)
    hint = f"; did you mean {own[match[0]]}?" if match else ""
    return f"environment variable {name}: matches no setting{hint}"


def _table(data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the table under a key; empty if there is none or something else."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}
