"""Checks whether replicas, and Sentinels that could promote one, keep what the ledger was promised."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from jobs.store.discreet_redis import replication_of
from jobs.store.sentinel import Named, in_brief
from jobs.store.sentinel_pool import SentinelPool

#: Replicas report once a second; one that has not for longer than this, in seconds, does not keep up.
_SILENT_S = 2


@dataclass(frozen=True, slots=True)
class Replicas:
    """The replicas of a primary, as it reports them.

    Attributes:
        connected: those that receive every write.
        behind: those that are still being brought up to date.
        silent: those of the connected ones from which nothing has been heard for seconds.
        min_to_write: how many must be connected for it to accept writes; None if it does not tell.
    """

    connected: int
    behind: int
    min_to_write: int | None
    silent: int = 0

    @property
    def keeping_up(self) -> int:
        """How many are connected and not silent."""
        return self.connected - self.silent


async def read_replicas(redis: Redis) -> Replicas | None:
    """Ask the server for its replicas; None if it forbids that.

    Raises:
        redis.exceptions.RedisError: the server cannot be reached.
    """
    try:
        told: dict[str, Any] = await redis.info("replication")
    except ResponseError:
        return None
    known = [value for name, value in told.items() if _is_replica(name, value)]
    states = [value["state"] for value in known]
    silent = sum(value["state"] == "online" and int(value.get("lag", 0)) > _SILENT_S for value in known)
    config: Mapping[str, str] = {}
    with contextlib.suppress(ResponseError):
        config = await redis.config_get("min-replicas-*")
    min_to_write = config.get("min-replicas-to-write")
    if config.get("min-replicas-max-lag") == "0":  # switches it off
        min_to_write = "0"
    connected = states.count("online")
    return Replicas(connected, len(states) - connected, None if min_to_write is None else int(min_to_write), silent)


async def check_replicas(redis: ArqRedis, min_replicas: int) -> list[str]:
    """Check whether a fail-over could lose what was promised.

    Args:
        redis: the connection.
        min_replicas: how many replicas must have a claim before it counts (`redis.min_replicas`).

    Returns:
        Warnings for a person, each with what to do.

    Raises:
        redis.exceptions.RedisError: the server cannot be reached.
    """
    has_sentinels = isinstance(redis.connection_pool, SentinelPool)
    if not has_sentinels and not min_replicas:
        return []
    warnings = [_MAY_LOSE_CLAIMS] if has_sentinels and not min_replicas else []
    replicas = await read_replicas(redis)
    if replicas is not None and min_replicas:
        warnings += _doubts(replicas, min_replicas)
    elif replicas is not None and not replicas.connected:
        warnings.append("Redis has no connected replica, so Sentinel has none to promote; bring its replicas back")
    return warnings


async def missing_replicas(redis: Redis) -> str | None:
    """Return in words that fewer replicas keep up than the connection demands, so that nothing is sent; None if not.

    Raises:
        redis.exceptions.RedisError: the server cannot be reached.
    """
    wanted = replication_of(redis).min_replicas
    replicas = await read_replicas(redis) if wanted else None
    if replicas is None or replicas.keeping_up >= wanted:
        return None
    return (
        f"Redis has {replicas_in_words(replicas)}, but redis.min_replicas is {wanted}: nothing is sent until that many "
        "have the claims; bring them back"
    )


def replicas_in_words(replicas: Replicas) -> str:
    """Return how many replicas there are, as part of a line."""
    told = f"{replicas.connected} connected replica{'' if replicas.connected == 1 else 's'}"
    if replicas.silent:
        told += f", of which {replicas.silent} silent"
    return f"{told}, {replicas.behind} being brought up to date" if replicas.behind else told


async def check_sentinels(redis: ArqRedis) -> tuple[str, list[str]] | None:
    """Ask every Sentinel for the primary.

    Returns:
        What they say, in one line, and warnings for a person; None if the address names no Sentinels.

    Raises:
        redis.exceptions.RedisError: the primary cannot be found.
    """
    pool = redis.connection_pool
    if not isinstance(pool, SentinelPool):
        return None
    primary = await pool.sentinels.primary()
    warnings = []
    agreeing = 0
    for sentinel, answer in zip(pool.sentinels.all, await pool.sentinels.survey(), strict=True):
        if not isinstance(answer, Named):
            warnings.append(f"Sentinel {sentinel.at} {in_brief(answer)}; bring it back, or take it out of redis.url")
        elif (answer.at, answer.epoch) != (primary.at, primary.epoch):
            warnings.append(
                f"Sentinel {sentinel.at} names {answer.at} (configuration {answer.epoch}) as the primary, not "
                f"{primary.at} ({primary.epoch}); if that lasts, check whether the Sentinels can reach each other"
            )
        else:
            agreeing += 1
    if len(pool.sentinels.all) == 1:
        warnings.append(
            "redis.url names one Sentinel only: if it is away, nothing can start; name all of them, with commas between"
        )
    sentinels = len(pool.sentinels.all)
    told = f"{agreeing} of {sentinels} Sentinels name {primary.at} as the primary (configuration {primary.epoch})"
    return told, warnings


def _is_replica(name: str, value: object) -> bool:
    return name.startswith("slave") and name[5:].isdigit() and isinstance(value, dict) and "state" in value


def _doubts(replicas: Replicas, min_replicas: int) -> list[str]:
    doubts = []
    if replicas.keeping_up < min_replicas:
        doubts.append(
            f"Redis has {replicas_in_words(replicas)}, but redis.min_replicas is {min_replicas}: nothing is deleted "
            "until that many keep up; bring them back"
        )
    elif replicas.connected + replicas.behind > min_replicas:
        doubts.append(
            f"Redis has {replicas_in_words(replicas)}, but redis.min_replicas is {min_replicas}: a fail-over could "
            f"promote one that lacks the last claims; set redis.min_replicas to {replicas.connected + replicas.behind}"
        )
    if replicas.min_to_write is None:
        doubts.append(
            "Redis does not report whether it accepts writes without replicas; make sure that it has "
            "`min-replicas-to-write 1`"
        )
    elif replicas.min_to_write < 1:
        doubts.append(
            "Redis accepts writes even without any replica (min-replicas-to-write 0): a primary that was cut off would "
            "go on taking what is lost when it comes back; set `min-replicas-to-write 1` and `min-replicas-max-lag 10`"
        )
    return doubts


_MAY_LOSE_CLAIMS = (
    "a fail-over can lose the last claims (redis.min_replicas is 0): contacts that were deleted just before it can end "
    "as not_found; set redis.min_replicas to the number of replicas"
)
