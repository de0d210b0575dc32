"""Runs the Lua scripts of jobs/store/lua: each is one atomic change of the ledger.

A script can name shared files in its first line (`-- include: job item`); they are put before it, and the constants
that it shares with Python are written into it (jobs/store/lua_constants.py). Scripts are called by their hash. If a
server does not know them, because it was restarted, they are loaded, and the call is made again: nothing was executed
in that case, so this is always safe.
"""

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from jobs.store.lua_constants import with_constants

Argument: TypeAlias = bytes | str | int | float
ScriptCall: TypeAlias = tuple["Script", Sequence[str], Sequence[Argument]]

_INCLUDE = "-- include:"
_SHARED = "jobs.store.lua"
#: How often scripts are loaded for one call: a server that loses them every time has another problem.
_MOST_LOADS = 3


class Script:
    """One script, ready to be called.

    Args:
        name: name of its file in `package`, without `.lua`.
        package: the package that holds the file.
    """

    def __init__(self, name: str, package: str = "jobs.store.lua") -> None:
        self.name = name
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
        """
        [reply] = await run_together(redis, [(self, keys, args)])
        return reply


async def run_together(redis: Redis, calls: Sequence[ScriptCall]) -> list[Any]:
    """Run several scripts in one round trip, in order; each is atomic, all of them together are not.

    Raises:
        redis.exceptions.ResponseError: the error of the first script that refused; the other scripts, before and after
            it, have taken effect.
    """
    replies = await _send(redis, calls)
    for _ in range(_MOST_LOADS):
        if not any(isinstance(reply, NoScriptError) for reply in replies):
            break
        # The server was restarted, perhaps once more since the scripts were loaded. Repeating calls of scripts that it
        # did know is harmless: each guards itself.
        for script, _, _ in calls:
            await redis.script_load(script.source)
        replies = await _send(redis, calls)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


async def _send(redis: Redis, calls: Sequence[ScriptCall]) -> list[Any]:
    pipe = redis.pipeline(transaction=False)
    for script, keys, args in calls:
        pipe.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
    return list(await pipe.execute(raise_on_error=False))


def _read(package: str, name: str) -> str:
    body = resources.files(package).joinpath(f"{name}.lua").read_text("utf-8")
    first = body.split("\n", 1)[0]
    parts = first.removeprefix(_INCLUDE).split() if first.startswith(_INCLUDE) else []
    shared = [resources.files(_SHARED).joinpath("includes", f"{part}.lua").read_text("utf-8") for part in parts]
    return with_constants("\n".join([*shared, body]))
