"""Bytes to a server and back, where a client library would be too polite."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

#: Far longer than anything here should take.
TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its document."""
        return json.loads(self.body)

    @property
    def word(self) -> str:
        """The last part of a problem's type."""
        assert self.headers["Content-Type"] == "application/problem+json", self
        return str(self.json["type"]).rpartition(":")[2]


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection, on which a test says exactly what it wants to."""
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def exchange(port: int, data: bytes) -> list[Answer]:
    """Send bytes, and give all answers that come before the server closes the connection."""
    async with connected(port) as (reader, writer):
        writer.write(data)
        return await read_answers(reader)


async def read_answers(reader: asyncio.StreamReader) -> list[Answer]:
    """Give all answers that come before the server closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):  # whoever sends on after an answer may lose the end of the connection
        while more := await reader.read(65_536):
            received += more
    return parse_answers(received)


def parse_answers(received: bytes) -> list[Answer]:
    """Take the answers apart that came over a connection, each with its length."""
    found = []
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        assert end, f"an answer breaks off: {received[:200]!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers.get("Content-Length", 0))
        found.append(Answer(int(first.split()[1]), headers, rest[:length]))
        received = rest[length:]
    return found
