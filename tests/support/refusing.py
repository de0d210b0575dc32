"""The ways in which a server refuses; each is undone when the block ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from arq.connections import ArqRedis
from redis.exceptions import ResponseError

from cli.embedded import EmbeddedServer
from jobs.store.trouble import Reason
from tests.support.waiting import until

#: Makes a server refuse until the block ends, over a connection of its own.
Refusing = Callable[[EmbeddedServer, ArqRedis], AbstractAsyncContextManager[None]]


def _setting(name: str, value: object, usual: object) -> Refusing:
    @contextlib.asynccontextmanager
    async def refusing(_server: EmbeddedServer, admin: ArqRedis) -> AsyncIterator[None]:
        await admin.config_set(name, str(value))
        try:
            yield
        finally:
            await admin.config_set(name, str(usual))

    return refusing


def without_right(*rights: str) -> Refusing:
    """Take rights from the user, written as for ACL SETUSER."""

    @contextlib.asynccontextmanager
    async def refusing(_server: EmbeddedServer, admin: ArqRedis) -> AsyncIterator[None]:
        await admin.execute_command("ACL", "SETUSER", "default", *rights)
        try:
            yield
        finally:
            await admin.execute_command("ACL", "SETUSER", "default", "allcommands", "allkeys", "allchannels")

    return refusing


@contextlib.asynccontextmanager
async def _replica(_server: EmbeddedServer, admin: ArqRedis) -> AsyncIterator[None]:
    await admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        await admin.execute_command("REPLICAOF", "NO", "ONE")


@contextlib.asynccontextmanager
async def _replica_without_data(server: EmbeddedServer, admin: ArqRedis) -> AsyncIterator[None]:
    async with _setting("replica-serve-stale-data", "no", "yes")(server, admin), _replica(server, admin):
        yield


@contextlib.asynccontextmanager
async def _unsaved(server: EmbeddedServer, admin: ArqRedis) -> AsyncIterator[None]:
    """Make saving fail, by putting a directory where the file would go."""
    in_the_way = server.directory / "dump.rdb"
    in_the_way.mkdir()
    (in_the_way / "file").touch()

    async def ended(status: str) -> bool:
        facts = await admin.info("persistence")
        return (facts["rdb_bgsave_in_progress"], facts["rdb_last_bgsave_status"]) == (0, status)

    try:
        async with _setting("save", "3600 1", "")(server, admin):
            await admin.execute_command("BGSAVE")
            await until(lambda: ended("err"))
            yield
    finally:
        (in_the_way / "file").unlink()
        in_the_way.rmdir()
        await admin.execute_command("BGSAVE")
        await until(lambda: ended("ok"))


@contextlib.asynccontextmanager
async def _busy(server: EmbeddedServer, admin: ArqRedis) -> AsyncIterator[None]:
    """Run a script that does not end."""
    async with _setting("lua-time-limit", 1, 5000)(server, admin):
        _reader, writer = await asyncio.open_unix_connection(server.url.address.socket_path)
        writer.write(b'EVAL "while true do end" 0\r\n')
        await writer.drain()
        try:
            await asyncio.sleep(0.1)  # until the server says so, it does not answer at all
            yield
        finally:
            await admin.execute_command("SCRIPT", "KILL")
            writer.close()
            await until(lambda: _answers(admin))


async def _answers(admin: ArqRedis) -> bool:
    try:
        return bool(await admin.ping())
    except ResponseError:
        return False


#: Every way, with the reason that is reported.
WAYS: dict[str, tuple[Refusing, Reason]] = {
    "out of memory": (_setting("maxmemory", 1, 0), Reason.OUT_OF_MEMORY),
    "replica": (_replica, Reason.READ_ONLY),
    "replica without its primary": (_replica_without_data, Reason.READ_ONLY),
    "too few replicas": (_setting("min-replicas-to-write", 1, 0), Reason.NO_REPLICAS),
    "cannot save": (_unsaved, Reason.CANNOT_PERSIST),
    "script of somebody": (_busy, Reason.BUSY),
    "no right to a command": (without_right("-hset"), Reason.NO_PERMISSION),
    "no right to a command of a script": (without_right("-rename"), Reason.NO_PERMISSION),
    "no right to scripts": (without_right("-evalsha"), Reason.NO_PERMISSION),
    "no right to transactions": (without_right("-multi"), Reason.NO_PERMISSION),
    "no right to the queue": (without_right("resetkeys", "~crm-sweep:*", "~arq:*"), Reason.NO_PERMISSION),
    "no right to arq's keys": (without_right("resetkeys", "~crm-sweep*"), Reason.NO_PERMISSION),
    "no right to the ledger": (without_right("resetkeys", "~crm-sweep", "~arq:*"), Reason.NO_PERMISSION),
}
