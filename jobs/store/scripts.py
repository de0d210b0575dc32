"""Runs the Lua scripts of jobs/store/lua: each is one atomic change of the ledger.

A script can name shared files in its first line (`-- include: job item`); they are put before it, and the constants
that it shares with Python are written into it (jobs/store/lua_constants.py). Scripts are called by their hash. If a
server does not know them, because it was restarted, they are loaded, and the call is made again: nothing was executed
in that case, so this is always safe.

The answer of a script that is *replicated* counts only when enough replicas have what it wrote; how many is a matter of
the connection (jobs/store/replication.py).
"""

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from jobs.store.discreet_redis import replication_of
from jobs.store.lua_constants import with_constants
from jobs.store.replication import NO_REPLICAS, NotReplicated, Replication
from jobs.store.round_trip import Command, round_trip

Argument: TypeAlias = bytes | str | int | float
ScriptCall: TypeAlias = tuple["Script", Sequence[str], Sequence[Argument]]

_INCLUDE = "-- include:"
_SHARED = "jobs.store.lua"
#: How often scripts are loaded for one call: a server that loses them every time has another problem.
_MOST_LOADS = 3
#: How often replicas are waited for before a caller is told that they lack what was written.
_MOST_WAITS = 3


class Script:
    """One script, ready to be called.

    Args:
        name: name of its file in `package`, without `.lua`.
        package: the package that holds the file.
        replicated: whether its answer counts only when enough replicas have what it wrote.
        after: scripts that are called before it in the same round trip. They are loaded with it, so that a server never
            knows this one alone: it would run without what was to come first.
    """

    def __init__(
        self, name: str, package: str = "jobs.store.lua", *, replicated: bool = False, after: Sequence["Script"] = ()
    ) -> None:
        self.name = name
        self.replicated = replicated
        self.after = after
        self.source = _read(package, name)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, redis: Redis, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run the script.

        Args:
            redis: the connection.
            keys: as the script's header lists them.
            args: as the script's header lists them.

        Returns:
            The reply, as the script's header describes it.

        Raises:
            redis.exceptions.ResponseError: the script refused; its header lists the reasons.
            NotReplicated: it is a replicated script, and what it wrote could be lost in a fail-over.
        """
        call = self, keys, args
        if self.replicated:
            return await _run_replicated(redis, call)
        [reply] = await run_together(redis, [call])
        return reply


async def run_together(redis: Redis, calls: Sequence[ScriptCall]) -> list[Any]:
    """Run several scripts in one round trip, in order; each is atomic, all of them together are not.

    Raises:
        redis.exceptions.ResponseError: the error of the first script that refused; the other scripts, before and after
            it, have taken effect.
    """
    replies, _ = await _run(redis, calls, NO_REPLICAS)
    return replies


async def run_and_wait(redis: Redis, calls: Sequence[ScriptCall]) -> tuple[list[Any], bool]:
    """Run several scripts like `run_together`, and wait for the replicas in the same round trip.

    Returns:
        The replies, and whether as many replicas as the connection demands have what was written.

    Raises:
        redis.exceptions.ResponseError: see `run_together`.
    """
    return await _run(redis, calls, replication_of(redis))


async def _run_replicated(redis: Redis, call: ScriptCall) -> Any:
    """Run a script until replicas have what it wrote. It may be run again: after a fail-over, it may never have run."""
    for _ in range(_MOST_WAITS):
        [reply], is_replicated = await run_and_wait(redis, [call])
        if is_replicated:
            return reply
    raise NotReplicated(f"fewer than {replication_of(redis).min_replicas} replicas had it in time")


async def _run(redis: Redis, calls: Sequence[ScriptCall], wanted: Replication) -> tuple[list[Any], bool]:
    """Run scripts in one round trip; return their replies, and whether as many replicas as wanted have the writes."""
    replies, is_replicated = await _send(redis, calls, wanted)
    for _ in range(_MOST_LOADS):
        if not any(isinstance(reply, NoScriptError) for reply in replies):
            break
        # The server was restarted, perhaps once more since the scripts were loaded. Repeating calls of scripts that it
        # did know is harmless: each guards itself.
        await _load(redis, [script for script, _, _ in calls])
        replies, is_replicated = await _send(redis, calls, wanted)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies, is_replicated


async def _load(redis: Redis, scripts: Sequence[Script]) -> None:
    pipe = redis.pipeline(transaction=False)
    for script in scripts:
        for one in (*script.after, script):
            pipe.script_load(one.source)
    await pipe.execute()


async def _send(redis: Redis, calls: Sequence[ScriptCall], wanted: Replication) -> tuple[list[Any], bool]:
    commands: list[Command] = [("EVALSHA", script.sha, len(keys), *keys, *args) for script, keys, args in calls]
    replies = await round_trip(redis, [*commands, *wanted.question()])
    return replies, wanted.take(replies)


def _read(package: str, name: str) -> str:
    body = resources.files(package).joinpath(f"{name}.lua").read_text("utf-8")
    first = body.split("\n", 1)[0]
    parts = first.removeprefix(_INCLUDE).split() if first.startswith(_INCLUDE) else []
    shared = [resources.files(_SHARED).joinpath("includes", f"{part}.lua").read_text("utf-8") for part in parts]
    return with_constants("\n".join([*shared, body]))
