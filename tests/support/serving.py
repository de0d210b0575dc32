"""The HTTP API in this process, on a real socket."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from arq.connections import ArqRedis

from config.settings import Settings
from web.app import make_app
from web.http.limits import Limits
from web.server import listening


@dataclass
class Api:
    """A running API.

    Attributes:
        url: its base address, `http://127.0.0.1:PORT`.
        client: for requests to it; paths are enough.
        settings: what it was started with.
        redis: the connection that it uses.
    """

    url: str
    client: aiohttp.ClientSession
    settings: Settings
    redis: ArqRedis

    @property
    def port(self) -> int:
        """The port it listens on, for tests that use its socket."""
        return int(self.url.rpartition(":")[2])

    async def json(self, method: str, path: str, *, status: int = 200, **options: Any) -> Any:
        """Send a request, check the status of the answer, and return its JSON."""
        async with self.client.request(method, path, **options) as answer:
            text = await answer.text()
            assert answer.status == status, f"{method} {path}: {answer.status} {text[:500]}"
            return await answer.json(content_type=None)


@contextlib.asynccontextmanager
async def serving(
    settings: Settings, redis: ArqRedis, *, limits: Limits | None = None, key: str | None = None
) -> AsyncIterator[Api]:
    """Run the API until the block ends.

    Args:
        settings: the whole configuration.
        redis: the connection that it uses.
        limits: other limits than usual; with the default, a busy machine is not mistaken for an unreachable Redis.
        key: what the client sends with every request.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else None
    app = make_app(settings, redis, limits or Limits(ending_s=2.0, events_patience_s=30.0))
    async with listening(app, "127.0.0.1", 0) as url, aiohttp.ClientSession(url, headers=headers) as client:
        yield Api(url, client, settings, redis)
