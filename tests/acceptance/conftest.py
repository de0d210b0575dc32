"""What tests of the program as users have it share: real processes, a real Redis, a simulated portal."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis as sync_redis
from arq.connections import ArqRedis
from playwright.sync_api import Browser

from cli.embedded import EmbeddedServer
from jobs.store.connection import connect
from tests.support.browser import chromium
from tests.support.home import Home, end_embedded_servers
from tests.support.portal_process import Portal, portal_process


@pytest.fixture
def redis_server(server: EmbeddedServer) -> str:
    """Return the address of an empty Redis."""
    with contextlib.closing(sync_redis.Redis.from_url(server.url.get_secret_value())) as client:
        client.flushall()
    return server.url.get_secret_value()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """Run a server that keeps everything, as a ledger needs it."""
    with EmbeddedServer(tmp_path / "redis", fsync="always") as server:
        yield server


@pytest.fixture
async def own_redis(own_server: EmbeddedServer) -> AsyncIterator[ArqRedis]:
    redis = connect(own_server.url, patience_s=30)
    yield redis
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
def home(tmp_path: Path, redis_server: str) -> Iterator[Home]:
    """Set up a user's working directory, and end whatever was started there with the test."""
    home = Home(tmp_path, redis_server)
    yield home
    for process in home.running:
        process.kill()
        process.wait()
    end_embedded_servers(tmp_path)


@pytest.fixture
def portal() -> Iterator[Callable[..., Portal]]:
    """Start simulated portals: `portal("--contacts", "100")`."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(portal_process(*arguments))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser for all tests of a module."""
    with chromium() as browser:
        yield browser
