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
        """Return its JSON document."""
        return json.loads(self.body)

    @property
    def word(self) -> str:
        """The last part of a problem's type."""
        assert self.headers["Content-Type"] == "application/problem+json", self
        return str(self.json["type"]).rpartition(":")[2]


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a bare connection, on which a test sends exactly the bytes it wants."""
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def exchange(port: int, data: bytes) -> list[Answer]:
    """Send bytes, and return all answers that arrive before the server closes the connection."""
    async with connected(port) as (reader, writer):
        writer.write(data)
        return await read_answers(reader)


async def read_answers(reader: asyncio.StreamReader) -> list[Answer]:
    """Return all answers that arrive before the server closes the connection."""
    received = b""
    with contextlib.suppress(
        ConnectionError
    ):  # a client that keeps sending after an answer may lose the connection's end
        while more := await reader.read(65_536):
            received += more
    return parse_answers(received)


def parse_answers(received: bytes) -> list[Answer]:
    """Split what came over a connection into answers, each with its length."""
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
