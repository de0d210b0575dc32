"""Secrets from files, and what is wrong with one: described by kind and position, never shown."""

import re
import unicodedata
from pathlib import Path

from config.text_file import NotText, decode_text

#: No token or password is longer than this; a device or a wrong file is not read to its end.
_MOST_BYTES = 65_536

#: Line ends of various editors.
_LINE_END = re.compile(r"\r\n|[\n\r\u2028\u2029]")

_NAMES = {"\t": "a tab", "\0": "a NUL", "\ufeff": "a byte order mark", "\u00a0": "a no-break space"}


class BadSecret(ValueError):
    """The text cannot be such a secret; the message says why, worded as the end of "expected …"."""


def read_secret(path: Path) -> str:
    """Read the single line of a file that holds a secret.

    A byte order mark before it and line ends after it come from editors and are not part of the secret.

    Raises:
        BadSecret: the file cannot be read, or holds anything other than one line of text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BadSecret(f"a readable file ({error.strerror or type(error).__name__})") from None
    if len(data) > _MOST_BYTES:
        raise BadSecret(f"a file that holds only the secret (it is larger than {_MOST_BYTES // 1024} kB)")
    try:
        text = decode_text(data)
    except NotText as error:
        raise BadSecret(f"a file of UTF-8 text ({error})") from None
    text = text.rstrip("\r\n\u2028\u2029")
    if not text.strip():
        raise BadSecret("a file that is not empty" if not text else "a file that holds more than blanks")
    lines = _LINE_END.split(text)
    if len(lines) > 1:
        empty = "; the first one is empty" if not lines[0] else ""
        raise BadSecret(f"a file that holds only the secret, on one line (it has {len(lines)} lines{empty})")
    for position, character in enumerate(text, 1):
        if character == "\ufeff" or unicodedata.category(character) == "Cc":
            raise BadSecret(f"a secret without control characters (there is {_name(character)} at position {position})")
    return text


def check_token(text: str) -> None:
    """Check that a text can be a token, which is sent in a header.

    Raises:
        BadSecret: it cannot.
    """
    if not text:
        raise BadSecret("a token of visible ASCII characters (it is empty)")
    if re.match(r"(?i)bearer\s", text):
        raise BadSecret(
            "a token of visible ASCII characters, without the word Bearer before it (`auth_scheme` adds it)"
        )
    for position, character in enumerate(text, 1):
        if not "!" <= character <= "~":
            raise BadSecret(f"a token of visible ASCII characters ({_place(character, position, len(text))})")


def _place(character: str, position: int, length: int) -> str:
    """Return the name and the place of a character that should not be in a text."""
    where = "it begins with" if position == 1 else "it ends with" if position == length else "there is"
    return f"{where} {_name(character)}" + (f" at position {position}" if where == "there is" else "")


def _name(character: str) -> str:
    """Return the name of an invisible character; a visible one may be part of the secret, and is not shown."""
    if character == " ":
        return "a blank"
    if character in "\r\n\u2028\u2029":
        return "a line end"
    if character in _NAMES:
        return _NAMES[character]
    # Control and format characters, and other blanks.
    if unicodedata.category(character) in {"Cc", "Cf", "Zs"}:
        return f"the invisible character U+{ord(character):04X}"
    return "a character that is not ASCII"
