"""Text from a file: UTF-8, with or without a byte order mark; any other encoding is named in the error."""

import codecs

#: Longer marks first: that of UTF-32 begins like that of UTF-16.
_OTHERS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class NotText(ValueError):
    """The bytes are not UTF-8 text; the message says what they are, without showing any of them."""


def decode_text(data: bytes) -> str:
    """Return the text of a file, without the byte order mark that some editors add.

    Raises:
        NotText: it is not UTF-8.
    """
    for mark, name in _OTHERS:
        if data.startswith(mark):
            raise NotText(f"it is {name}; save it as UTF-8")
    # In UTF-16 every other byte of plain words is zero, and no ordinary text begins with such a byte.
    if b"\0" in data[:2]:
        raise NotText("it looks like UTF-16 without a byte order mark; save it as UTF-8")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        marks = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
        position = error.start + marks + 1
    raise NotText(f"byte {position} is not UTF-8")
