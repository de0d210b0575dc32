"""What a Redis server was busy with: its CPU time, its commands, its memory."""

from dataclasses import dataclass

from redis.asyncio import Redis


@dataclass(frozen=True)
class RedisLoad:
    """Counters of a server, or what they grew by."""

    cpu_s: float  #: user and system time of the process
    commands: int  #: those inside of scripts included
    scripts: int  #: scripts that were called
    script_s: float  #: time spent in them

    def since(self, before: "RedisLoad") -> "RedisLoad":
        """Return what was added since `before`."""
        return RedisLoad(
            self.cpu_s - before.cpu_s,
            self.commands - before.commands,
            self.scripts - before.scripts,
            self.script_s - before.script_s,
        )


async def load_of(redis: Redis) -> RedisLoad:
    """Read the counters of a server."""
    cpu = await redis.info("cpu")
    stats = await redis.info("commandstats")
    scripts = [stats[name] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats]
    return RedisLoad(
        cpu_s=cpu["used_cpu_user"] + cpu["used_cpu_sys"],
        commands=sum(one["calls"] for one in stats.values()),
        scripts=sum(one["calls"] for one in scripts),
        script_s=sum(one["usec"] for one in scripts) / 1e6,
    )


async def used_bytes(redis: Redis) -> int:
    """Return the memory of the data, without scripts and the buffers of connections, in bytes."""
    facts = await redis.info("memory")
    return int(facts["used_memory"] - facts["mem_clients_normal"] - facts.get("used_memory_scripts_eval", 0))
