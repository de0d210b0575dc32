"""The XML form of an answer: root ``result``, arrays as repeated elements, an empty array as no element at all."""

import json
from collections.abc import Iterator
from xml.sax.saxutils import escape

from simulator.replies import Answer

XML = "text/xml; charset=UTF-8"


def to_xml(answer: Answer) -> Answer:
    """Convert a JSON answer to the portal's XML."""
    text = "".join(_element("result", json.loads(answer.body)))
    return Answer(answer.status, text.encode(), XML, answer.headers)


def _element(name: str, value: object) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _element(name, item)
    elif isinstance(value, dict):
        inner = "".join(part for key, member in value.items() for part in _element(key, member))
        yield f"<{name}>{inner}</{name}>" if inner else f"<{name} />"
    elif value is None:
        yield f"<{name} />"
    elif isinstance(value, bool):
        yield f"<{name}>{str(value).lower()}</{name}>"
    else:
        yield f"<{name}>{escape(str(value))}</{name}>"
