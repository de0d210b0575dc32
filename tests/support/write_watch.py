"""Who writes what in Redis: the server tells of scripts and commands, and the client of the module that sent one."""

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.utils import str_if_bytes

from cli.embedded import EmbeddedServer
from jobs.store.scripts import Script

#: Packages whose modules can be a command's sender.
SENDERS = {"jobs", "worker", "web", "cli", "config", "arq", "tests"}

#: The name of what a test does itself, by `meddle`.
MEDDLING = "a test"

_LINE = re.compile(r"\+[\d.]+ \[\d+ (?P<client>[^\]]*)\] ")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
_END = "end of what is watched"


def scripts_by_hash() -> dict[str, str]:
    """The names of all scripts."""
    files = [
        (package, file.name.removesuffix(".lua"))
        for package in ("jobs.store.lua", "worker.lua")
        for file in resources.files(package).iterdir()
        if file.name.endswith(".lua")
    ]
    return {Script(name, package).sha: name for package, name in files}


async def meddle(redis: Redis, *command: bytes | str | float) -> Any:
    """Do something to Redis behind the program's back, and be told from it."""
    return await redis.execute_command("EVAL", "return redis.call(unpack(ARGV))", 0, *command)


@dataclass
class Watched:
    """What was seen.

    Attributes:
        commands: each with its writer: a script, MEDDLING, or '' for a command that came from a client.
        modules: each command that came from a client of this process, with the module that sent it.
    """

    commands: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    modules: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)

    async def written(self, redis: Redis) -> set[tuple[str, str]]:
        """Return the keys that scripts (MEDDLING is left out) and clients have written, each with its writer."""
        commands = {(writer, words) for writer, words in self.commands if writer != MEDDLING}
        return await _keys_of(redis, commands)

    async def written_by_modules(self, redis: Redis) -> set[tuple[str, str]]:
        """Return the keys that modules have written without a script, each with the module."""
        return await _keys_of(redis, {(module, words) for module, words in self.modules if _is_ours(module)})


@contextlib.asynccontextmanager
async def watching(server: EmbeddedServer, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    """Watch what the server is told, and what this process sends, while the block lasts."""
    watched = Watched()
    reader, writer = await asyncio.open_unix_connection(server.url.address.socket_path, limit=1 << 26)
    writer.write(b"MONITOR\r\n")
    assert await reader.readline() == b"+OK\r\n"
    reading = asyncio.create_task(_read(reader, watched))
    try:
        with monkeypatch.context() as patch:
            _listen_in(patch, watched)
            yield watched
    finally:
        await redis.echo(_END)
        await reading
        writer.close()
        await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, watched: Watched) -> None:
    names, script = scripts_by_hash(), ""
    while True:
        line = (await reader.readline()).decode()
        match = _LINE.match(line)
        assert match, line
        words = tuple(_WORD.findall(line[match.end() :]))
        command = words[0].upper()
        if match["client"] == "lua":
            watched.commands.add((script, words))  # it follows the call of its script, and no other client is between
        elif command == "EVALSHA":
            script = names[words[1]]
        elif command == "EVAL":
            script = MEDDLING
        elif words[1:] == (_END,):
            return
        else:
            watched.commands.add(("", words))


def _listen_in(patch: pytest.MonkeyPatch, watched: Watched) -> None:
    for cls in (Redis, Pipeline):
        original = cls.execute_command

        def execute_command(self: Any, *args: Any, _original: Any = original, **options: Any) -> Any:
            words = tuple(arg.decode("latin-1") if isinstance(arg, bytes) else str(arg) for arg in args)
            watched.modules.add((_sender(), words))
            return _original(self, *args, **options)

        patch.setattr(cls, "execute_command", execute_command)


def _sender() -> str:
    """Return the innermost module of ours, or `arq`, that is waiting for the command to be sent."""
    for name in _callers():
        if name.split(".")[0] in SENDERS and name != __name__:
            return name
    return ""


def _callers() -> Iterator[str]:
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        yield frame.f_globals.get("__name__", "")


def _is_ours(module: str) -> bool:
    return not module.startswith("tests.")


async def _keys_of(redis: Redis, commands: set[tuple[str, tuple[str, ...]]]) -> set[tuple[str, str]]:
    """Return the keys that the commands write, by the server's own word, each with the writer."""
    names = sorted({words[0].split(" ")[0].lower() for _, words in commands})
    told = dict(zip(names, await redis.execute_command("COMMAND INFO", *names), strict=True))
    writing = [(writer, words) for writer, words in commands if _writes(told[words[0].split(" ")[0].lower()])]
    pipe = redis.pipeline(transaction=False)
    for _, words in writing:
        pipe.execute_command("COMMAND GETKEYS", *words)
    replies = await pipe.execute()
    return {(str_if_bytes(key), writer) for (writer, _), keys in zip(writing, replies, strict=True) for key in keys}


def _writes(told: Any) -> bool:
    return bool(told) and b"write" in told[2]
