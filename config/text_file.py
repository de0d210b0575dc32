"""Text out of a file: UTF-8, with or without a byte order mark; what is something else is called by its name."""

import codecs

#: The longer marks first: that of UTF-32 begins like that of UTF-16.
_OTHERS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class NotText(ValueError):
    """The bytes are no UTF-8 text; the message says what they are, without any of them."""


def decode_text(data: bytes) -> str:
    """Return the text of a file, without the byte order mark that some editors put before it.

    Raises:
        NotText: it is not UTF-8.
    """
    for mark, name in _OTHERS:
        if data.startswith(mark):
            raise NotText(f"it is {name}; save it as UTF-8")
    # Every other byte of plain words is zero there, and no text that anybody writes begins with such a byte.
    if b"\0" in data[:2]:
        raise NotText("it looks like UTF-16 without a byte order mark; save it as UTF-8")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        marks = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
        position = error.start + marks + 1
    raise NotText(f"byte {position} is not UTF-8")
