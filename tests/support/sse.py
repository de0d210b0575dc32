"""A reader of server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec


@dataclass(frozen=True)
class Sent:
    """What a server sent between two blank lines: an event or a comment."""

    event: str | None = None
    id: str | None = None
    data: Any = None
    comment: str | None = None
    retry: str | None = None


def parse(block: str) -> Sent:
    """Read one block of lines."""
    fields: dict[str, str] = {}
    for line in block.splitlines():
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        name = name or "comment"
        fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    data = msgspec.json.decode(fields.pop("data")) if "data" in fields else None
    return Sent(data=data, **fields)


async def read_events(answer: aiohttp.ClientResponse) -> AsyncIterator[Sent]:
    """Yield everything that is sent, until the stream ends in an orderly way.

    Raises:
        TimeoutError: nothing came for ten seconds.
    """
    block = ""
    while True:
        async with asyncio.timeout(10):
            line = (await answer.content.readline()).decode()
        if not line:
            assert not block, "the stream ended in the middle of an event"
            return
        if line == "\n":
            yield parse(block)
            block = ""
        else:
            block += line
