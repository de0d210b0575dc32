"""Answers of the portal's API, in both formats and in any spelling."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias
from xml.sax.saxutils import escape

from hypothesis import strategies as st

Write: TypeAlias = Callable[[dict[str, object]], bytes]

#: The spellings found on the wire and in the published examples, and one that is never used.
spellings = st.sampled_from([str, lambda key: key[0].upper() + key[1:], str.upper])


def envelope(items: Sequence[Mapping[str, object]], **fields: object) -> dict[str, object]:
    counted = {"count": len(items)} if items else {}
    return {**counted, "status": 0, "statusCode": 200, "response": items, **fields}


def as_xml(fields: dict[str, object]) -> bytes:
    def element(name: str, value: object) -> str:
        if isinstance(value, list):
            return "".join(element(name, item) for item in value)
        if isinstance(value, dict):
            return f"<{name}>{''.join(element(key, each) for key, each in value.items())}</{name}>"
        text = "" if value is None else str(value).lower() if isinstance(value, bool) else escape(str(value))
        return f"<{name}>{text}</{name}>"

    return element("result", fields).encode()


def as_json(fields: dict[str, object]) -> bytes:
    return json.dumps(fields).encode()
