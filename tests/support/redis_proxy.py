"""A proxy to Redis that loses replies: the command has been carried out, but its sender never hears of it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.forwarder import forward, listening
from cli.embedded import EmbeddedServer
from config.redis_url import RedisUrl


@dataclass
class Proxy:
    """A running proxy.

    Attributes:
        url: where clients connect.
        lost: the content of the commands whose replies were lost.
    """

    url: RedisUrl
    lost: list[bytes] = field(default_factory=list)
    _marks: list[bytes] = field(default_factory=list)

    def lose_reply(self, mark: bytes) -> None:
        """Lose the next reply to a command that contains these bytes, and the connection with it."""
        self._marks.append(mark)

    def _struck(self, data: bytes) -> bool:
        for mark in self._marks:
            if mark in data:
                self._marks.remove(mark)
                self.lost.append(mark)
                return True
        return False


@asynccontextmanager
async def losing_replies(server: EmbeddedServer) -> AsyncIterator[Proxy]:
    """Run a proxy in front of a server."""
    socket_path = server.url.address.socket_path
    assert socket_path is not None
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "proxy.sock"
        proxy = Proxy(RedisUrl(f"unix://{path}"))

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            behind, to_server = await asyncio.open_unix_connection(socket_path)
            back = asyncio.create_task(forward(behind, writer))
            try:
                while data := await reader.read(1 << 20):
                    if proxy._struck(data):
                        await _end(back)
                        to_server.write(data)
                        await behind.read(1 << 20)  # it has been carried out
                        break
                    to_server.write(data)
            finally:
                to_server.close()
                await _end(back)

        async with listening(serve, path=path):
            yield proxy


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
