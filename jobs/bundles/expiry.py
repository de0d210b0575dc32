"""Destroying bundles: when they have expired, or when somebody asks for it.

`crm-sweep:bundles` names every bundle of which something may be in a store, from before its first object is written
until its last one is removed, each with the time when it has to be looked at again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from jobs.bundles.errors import BundleInUse, StoreTrouble
from jobs.bundles.facts import DAY_MS, expires_ms
from jobs.bundles.names import folder
from jobs.bundles.store import BundleStore
from jobs.store import keys
from jobs.store.scripts import Script
from jobs.store.times import server_ms

DESTROY_BUNDLE = Script("destroy_bundle", replicated=True)

_AT_A_TIME = 20
#: A bundle of a job that has not ended is looked at again after this time.
_STILL_RUNNING_MS = 3_600_000
#: One whose store does not answer, after this.
_TRY_AGAIN_MS = 600_000

_FACTS = ("finished_ms", "n:deleted", "n:presumed_deleted", "bundle", "bundle_id", "bundle_days")


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of a bundle that was due.

    Attributes:
        job_id: its job.
        portal: the portal's name.
        trouble: why it could not be destroyed; empty if it was.
    """

    job_id: str
    portal: str
    trouble: str = ""


async def destroy_expired(redis: Redis, store_of: Callable[[str], BundleStore | None]) -> list[Looked]:
    """Destroy bundles that have expired, a few at a time.

    Args:
        redis: the connection.
        store_of: returns the store of a portal, by its name; None for a portal that is not configured here. Raises
            `StoreTrouble` if it cannot be used.

    Returns:
        Those that were destroyed, or could not be.
    """
    now_ms = server_ms(await redis.time())
    due = await redis.zrangebyscore(keys.BUNDLES, "-inf", now_ms, start=0, num=_AT_A_TIME)
    looked = []
    for member in due:
        portal, job_id, bundle_id = member.decode().split("/")
        again_ms = await _due_again_ms(redis, job_id, bundle_id, now_ms)
        if again_ms <= now_ms:
            try:
                store = store_of(portal)
                if store is None:
                    again_ms = now_ms + _STILL_RUNNING_MS
                elif await _destroy(redis, store, [portal], job_id, bundle_id):
                    looked.append(Looked(job_id, portal))
                    continue
                else:
                    again_ms = now_ms + _STILL_RUNNING_MS
            except StoreTrouble as trouble:
                looked.append(Looked(job_id, portal, str(trouble)))
                again_ms = now_ms + _TRY_AGAIN_MS
        # Not if somebody has destroyed it meanwhile.
        await redis.zadd(keys.BUNDLES, {member: again_ms}, xx=True)
    return looked


async def _due_again_ms(redis: Redis, job_id: str, bundle_id: str, now_ms: int) -> int:
    """Return when a bundle has to be destroyed or looked at again."""
    values = await redis.execute_command("HMGET", keys.job(job_id), *_FACTS)
    facts = {name: value.decode() for name, value in zip(_FACTS, values, strict=True) if value is not None}
    if not facts:
        # The job is not known any more, though none is forgotten before its bundle is: Redis has lost it, and with it
        # everything but the bundle. It stays until somebody destroys it.
        return now_ms + DAY_MS
    if facts.get("bundle_id") != bundle_id or facts.get("bundle") == "destroyed":
        return now_ms
    if "finished_ms" not in facts:
        return now_ms + _STILL_RUNNING_MS
    return expires_ms(facts, int(facts["finished_ms"]))


async def destroy_bundles(redis: Redis, store: BundleStore, portals: Sequence[str], job_id: str) -> int:
    """Destroy all bundles of a job at once, whether Redis knows the job or not.

    Args:
        redis: the connection.
        store: where they are.
        portals: names of the portals that keep their bundles there.
        job_id: the job.

    Returns:
        How many there were.

    Raises:
        BundleInUse: the job has not ended.
        StoreTrouble: the store is away or refuses; some objects may be left.
    """
    there = await store.bundles(folder(job_id))
    for one in there:
        if not await _destroy(redis, store, portals, job_id, one.bundle_id):
            raise BundleInUse(job_id)
    return len(there)


async def _destroy(redis: Redis, store: BundleStore, portals: Sequence[str], job_id: str, bundle_id: str) -> bool:
    """Destroy a bundle; return False if its job has not ended."""
    now_ms = server_ms(await redis.time())
    if await DESTROY_BUNDLE(redis, [keys.job(job_id)], [job_id, bundle_id, now_ms]) != b"destroyed":
        return False
    await store.delete(await store.names(folder(job_id, bundle_id)))
    await redis.zrem(keys.BUNDLES, *(bundle_member(portal, job_id, bundle_id) for portal in portals))
    return True


def bundle_member(portal: str, job_id: str, bundle_id: str) -> str:
    """Return the name of a bundle in `crm-sweep:bundles`."""
    return f"{portal}/{job_id}/{bundle_id}"
