"""What the portal sends: envelope, error body, bare text and the pages of the servers in front of it.

Keys are in the portal's order, and count, startIndex, nextIndex and total are left out if zero.
"""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

JSON = "application/json; charset=UTF-8"
HTML = "text/html"

# .NET error numbers, as the portal's error bodies carry them.
ARGUMENT = -2147024809
ARGUMENT_NULL = -2147467261
FORMAT = -2146233033
OVERFLOW = -2146233066
SECURITY = -2146233078
INVALID_OPERATION = -2146233079
AUTHENTICATION = -2146233087
GENERIC = -2146233088
DATABASE = -2147467259


@dataclass(slots=True)
class Answer:
    """One HTTP answer before it is sent."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it is the envelope of a success."""
        return self.status < 400 and self.content_type == JSON


class PortalError(Exception):
    """The portal refuses the call with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json_text(value: object) -> str:
    """Serialize as the portal does: compact, non-ASCII text unescaped, slashes escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")


def success(
    response: str,
    *,
    count: int,
    start_index: int = 0,
    next_index: int = 0,
    total: int = 0,
    status: int = 200,
    casing: Literal["camel", "pascal"] = "camel",
) -> Answer:
    """Wrap serialized JSON in the envelope of a success."""
    numbers = {"count": count, "startIndex": start_index, "nextIndex": next_index, "total": total}
    parts = [f'"{key}":{number}' for key, number in numbers.items() if number]
    parts += ['"status":0', f'"statusCode":{status}', '"response":']
    if casing == "pascal":
        parts = [f'"{part[1].upper()}{part[2:]}' for part in parts]
    return Answer(status, f"{{{','.join(parts)}{response}}}".encode(), JSON)


def error(status: int, message: str, hresult: int) -> Answer:
    """Return the portal's JSON error body."""
    body = {"status": 1, "statusCode": status, "error": {"message": message, "hresult": hresult, "data": {}}}
    return Answer(status, json_text(body).encode(), JSON)


def page(status: int) -> Answer:
    """Return the HTML page of the server in front of the portal."""
    title = f"{status} {HTTPStatus(status).phrase}"
    body = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    return Answer(status, f"{body}<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n".encode(), HTML)


def empty(status: int) -> Answer:
    """Return an answer without a body."""
    return Answer(status)


def unauthorized(*, challenge: bool) -> Answer:
    """Return a plain 401; it names a scheme only if the caller tried to authenticate."""
    return Answer(401, b"Unauthorized", HTML, {"WWW-Authenticate": "Basic"} if challenge else {})
