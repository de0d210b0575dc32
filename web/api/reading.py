"""Turns what a request holds into valid values: parameters and small JSON bodies, and what is wrong with them."""

from typing import TypeVar

import msgspec
from aiohttp import web

from web.api.members import RepeatedMember, check_members
from web.api.wrong_values import in_words
from web.http.body import read_plain
from web.http.context import LIMITS
from web.http.problems import Kind, Refusal, Wrong

T = TypeVar("T")

_DOCUMENT = web.RequestKey("document", bytes)


def query_of(request: web.Request, kind: type[T]) -> T:
    """Read the query parameters.

    Args:
        request: the request.
        kind: a struct; each field is a parameter.

    Raises:
        Refusal: one is unknown, wrong, or there twice.
    """
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            raise _bad_parameter(f"query.{name[:80]}", "it is given more than once")
        given[name] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        where, why = in_words(error, "query", kind)
        raise _bad_parameter(where, why) from None


async def fetch_document(request: web.Request, *, needs_body: bool = True) -> None:
    """Read the body of a request that is a small JSON document, for `json_of` to decode.

    Args:
        request: the request.
        needs_body: whether a request without a body is refused; otherwise it counts as an empty object.

    Raises:
        Refusal: it is not JSON, is too large, too slow or incomplete.
    """
    if not needs_body and not request.can_read_body:
        request[_DOCUMENT] = b"{}"
        return
    if request.content_type != "application/json":
        raise Refusal(Kind.WRONG_MEDIA_TYPE, "Send a JSON document, with Content-Type: application/json.")
    body = bytearray()
    await read_plain(request, request.app[LIMITS].change_bytes, body.extend)
    request[_DOCUMENT] = bytes(body)


def json_of(request: web.Request, kind: type[T]) -> T:
    """Decode the JSON document of a request.

    Raises:
        Refusal: it is not JSON, or asks for something impossible.
    """
    return decode(request[_DOCUMENT], kind)


def decode(body: bytes | bytearray, kind: type[T]) -> T:
    """Decode a JSON document.

    Raises:
        Refusal: it is not JSON, or asks for something impossible.
    """
    try:
        document = msgspec.json.decode(body, type=kind)
        check_members(body, document)
    except msgspec.ValidationError as error:
        where, why = in_words(error, "body", kind)
        raise Refusal(Kind.INVALID, f"{where}: {why}.", more={"errors": (Wrong(where=where, why=why),)}) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refusal(Kind.BAD_JSON, f"The body is not valid JSON: {why}.") from None
    except RepeatedMember as error:
        raise Refusal(Kind.BAD_JSON, f"{error}.") from None
    return document


def _bad_parameter(where: str, why: str) -> Refusal:
    return Refusal(Kind.UNKNOWN_PARAMETER, f"{where}: {why}.", more={"errors": (Wrong(where=where, why=why),)})
