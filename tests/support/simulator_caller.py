"""A caller that sends exactly one request and shows exactly what came back."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from simulator import Portal


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def ids(self) -> list[int]:
        return [element["id"] for element in self.json["response"]]


async def call(
    portal: Portal,
    method: str,
    path: str,
    body: object = None,
    *,
    content_type: str | None = "application/json",
    headers: dict[str, str] | None = None,
    authenticated: bool = True,
) -> Reply:
    """Send one request; a body that is not bytes is sent as JSON.

    Raises:
        ConnectionResetError: the portal reset the connection.
        asyncio.IncompleteReadError: the answer ended before its announced length, or there was none.
    """
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent = {"Host": "portal", "Connection": "close", "Content-Length": str(len(data))}
    if authenticated:
        sent["Authorization"] = portal.behaviour.token
    if content_type is not None and data:
        sent["Content-Type"] = content_type
    sent |= headers or {}
    address = urlsplit(portal.truth_url if path.startswith("/truth") else portal.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
        await writer.drain()
        status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        received = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if "content-length" in received:
            answer = await reader.readexactly(int(received["content-length"]))
        else:
            answer = _unchunked(await reader.read())
        return Reply(int(status_line.split()[1]), received, answer)
    finally:
        writer.close()


def _unchunked(raw: bytes) -> bytes:
    whole = b""
    while raw:
        size, _, rest = raw.partition(b"\r\n")
        whole += rest[: int(size, 16)]
        raw = rest[int(size, 16) + 2 :]
    return whole


async def delete(portal: Portal, contact_ids: object, query: str = "", **more: Any) -> Reply:
    """Send one deletion."""
    return await call(portal, "PUT", f"/api/2.0/crm/contact{query}", {"contactids": contact_ids}, **more)


async def control(portal: Portal, name: str, body: object) -> Reply:
    """Send one control call to the truth."""
    return await call(portal, "POST", f"/truth/{name}", body)
