"""How long each Lua script takes in Redis, by its name, from the server's own slow log."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from redis.asyncio import Redis

from jobs.store.scripts import Script

_PACKAGES = ("jobs.store.lua", "worker.lua")
#: Scripts take longer; the commands inside of them, which would fill the log, do not.
_SLOWER_THAN_US = 5
_MOST_ENTRIES = 1_000_000


@dataclass(frozen=True)
class ScriptTime:
    """What one script took."""

    runs: int
    median_us: float  #: of one run; a mean would count the times that the server had to wait for its core


async def watch_scripts(redis: Redis) -> None:
    """Have the server write down how long each script takes from now on."""
    await redis.config_set("slowlog-max-len", _MOST_ENTRIES)
    await redis.config_set("slowlog-log-slower-than", _SLOWER_THAN_US)
    await redis.slowlog_reset()


async def script_times(redis: Redis) -> dict[str, ScriptTime]:
    """Return what each script has taken since `watch_scripts`, by name, and end the watch."""
    await redis.config_set("slowlog-log-slower-than", -1)
    entries = await redis.slowlog_get(_MOST_ENTRIES)
    await redis.slowlog_reset()
    return by_script(entries, _names())


def by_script(entries: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, ScriptTime]:
    """Sum up entries of a slow log.

    Args:
        entries: As redis-py returns them; those that are not calls of scripts are left out.
        names: Names of scripts by hash; a script that is not among them is named by the beginning of its hash.

    Returns:
        What each script took, that which took the most first.
    """
    times: defaultdict[str, list[int]] = defaultdict(list)
    for entry in entries:
        words = entry["command"].split(b" ", 2)
        if words[0].upper() == b"EVALSHA":
            sha = words[1].decode()
            times[names.get(sha, sha[:8])].append(entry["duration"])
    found = {name: ScriptTime(len(each), statistics.median(each)) for name, each in times.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1].runs * item[1].median_us))


def _names() -> dict[str, str]:
    files = [(package, file) for package in _PACKAGES for file in resources.files(package).iterdir()]
    scripts = [Script(file.name[:-4], package) for package, file in files if file.name.endswith(".lua")]
    return {script.sha: script.name for script in scripts}
