"""What all sections of the settings share: strictness, units, and fields that are read from files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

from config.authorities import read_authorities
from config.secret_file import BadSecret, read_secret

#: A name given by the operator, of a portal or of an API key.
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,31}$"

#: The path of a file. Only this type is converted from text; a value of any other type must already have that type.
FilePath = Annotated[Path, Field(strict=False)]


@dataclass(frozen=True)
class Unit:
    """The unit of a number, kept with its range so that the reference table can show it."""

    symbol: str


class Section(BaseModel):
    """A frozen table of settings that refuses unknown keys, wrong types, infinities and NaN.

    The text under a setting goes into the documentation, and is read from the source when that is made. Pydantic would
    read it at every start of the program, which takes longer than everything else about the settings. For the same
    reason a table is only built when it is used: most are part of `Settings`, and never used alone.
    """

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def refuse(expected: str, *, given: str | None = None, field: str | None = None) -> NoReturn:
    """Refuse the value being validated.

    Args:
        expected: what would have been right, as the end of "expected …"; never holds the value itself.
        given: what to show as given, if the value itself must not or cannot be shown.
        field: the setting to blame, if it is not the one being validated.

    Raises:
        PydanticCustomError: always; `config.problems` turns it into a line for the operator.
    """
    context: dict[str, Any] = {"expected": expected, "given": given, "field": field}
    raise PydanticCustomError("refused", "expected {expected}", context)


def secret_or_file(value: object, field: str, known: dict[str, Any]) -> object:
    """Return a secret given directly, or read it from the file named by its twin `<field>_file`.

    Args:
        value: what was given for the secret itself; None if nothing was.
        field: name of the secret's field.
        known: the fields validated so far; the twin is declared before the secret.

    Raises:
        PydanticCustomError: both were given, or the file does not hold a secret.
    """
    twin = f"{field}_file"
    path: Path | None = known.get(twin)
    if path is None:
        return value
    if value is not None:
        refuse(f"either {field} or {twin}, not both", given="both", field=twin)
    try:
        return read_secret(path)
    except BadSecret as error:
        refuse(str(error), given=shown_path(path), field=twin)


def shown_path(path: Path) -> str:
    """Return the path of a secret's file for display; if there is no such file, it may be the secret, misplaced."""
    try:
        is_one = path.exists() or (len(path.parts) > 1 and path.parent.is_dir())
    except OSError:  # too long for a name
        is_one = False
    return str(path) if is_one else "the name of a file that does not exist"


def file_of_authorities(path: Path) -> Path:
    """Check that a file of certificates can be used, and return its path.

    Raises:
        PydanticCustomError: it cannot be read, or holds no certificates.
    """
    try:
        read_authorities(path)
    except ValueError as error:
        refuse(str(error), given=str(path))
    return path


def plain(secret: SecretStr | None) -> str | None:
    """Return the text of an optional secret."""
    return None if secret is None else secret.get_secret_value()
