"""A server that answers in raw bytes: for what no HTTP server would do, and for counting what is really sent."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from bench.forwarder import listening
from config.portal import Portal


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class RawPortal:
    """A running server: its address, and every request in the order of arrival."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def config(self, **settings: object) -> Portal:
        """Return settings for this portal, with a token unless others are given."""
        credentials = {} if "username" in settings else {"token": "the-token"}
        return Portal.model_validate({"name": "main", "url": self.url, **credentials, **settings})


#: Answers one request: writes whatever it likes.
Behave: TypeAlias = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_portal(*script: Behave, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawPortal]:
    """Run a server that handles each request with the next entry of the script, and repeats the last one."""
    portal = RawPortal()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        portal.connections += 1
        number = portal.connections
        while (request := await _read(reader, number)) is not None:
            behave = script[min(len(portal.requests), len(script) - 1)]
            portal.requests.append(request)
            await behave(request, writer)
            if writer.is_closing():
                break

    async with listening(serve, tls=tls) as port:
        portal.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        yield portal


async def _read(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body, connection)


def answer(
    status: int = 200,
    body: bytes | str | dict[str, object] = b"",
    headers: dict[str, str] | None = None,
    *,
    length: int | None = None,
) -> Behave:
    """Answer with these bytes; `length` overrides the true Content-Length."""
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    fields = {"Content-Length": str(len(raw) if length is None else length), **(headers or {})}

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + raw)
        await writer.drain()
        if length is not None:
            writer.close()

    return behave


def listing(ids: Sequence[int], **fields: object) -> dict[str, object]:
    """Return an envelope that lists these contacts."""
    counted = {"count": len(ids)} if ids else {}
    return {**counted, "status": 0, "statusCode": 200, "response": [{"id": each} for each in ids], **fields}


def rights(items: dict[int, tuple[bool, bool]], **fields: object) -> dict[str, object]:
    """Return an envelope that shows these contacts with (canEdit, canDelete)."""
    shown = [{"id": each, "canEdit": edit, "canDelete": delete} for each, (edit, delete) in items.items()]
    return {**listing(list(items)), "response": shown, **fields}


def error(status: int, message: str = "Server error", hresult: int = -2146233088) -> Behave:
    """Answer with the API's error envelope."""
    body: dict[str, object] = {
        "status": 1,
        "statusCode": status,
        "error": {"message": message, "hresult": hresult, "data": {}},
    }
    return answer(status, body)


async def delete_all(request: Request, writer: asyncio.StreamWriter) -> None:
    """List every contact that was sent, as a portal does when nothing prevents it."""
    await answer(200, listing(json.loads(request.body)["contactids"]))(request, writer)


async def reset(request: Request, writer: asyncio.StreamWriter) -> None:
    """Break the connection with a reset (RST), without an answer."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def disconnect(request: Request, writer: asyncio.StreamWriter) -> None:
    """Close the connection in an orderly way, without an answer."""
    writer.close()


async def say_nothing(request: Request, writer: asyncio.StreamWriter) -> None:
    """Keep the connection open and never answer."""
    await asyncio.Event().wait()


def sending(raw: bytes) -> Behave:
    """Send these bytes and close."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()

    return behave
