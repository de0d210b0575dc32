"""The fields of a job's hash that tell of its bundle, and the bundle as users see it."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec
from redis.asyncio import Redis

from jobs.store import keys
from jobs.store.times import iso, iso_or_none

DAY_MS = 86_400_000


class BundleState(StrEnum):
    """How far a job's bundle is."""

    WAITING = "waiting"
    """It will be made before the first contact is sent."""
    MAKING = "making"
    """Records are being read and written; nothing is sent yet."""
    KEPT = "kept"
    """It is complete."""
    DESTROYED = "destroyed"
    """It has expired, or somebody has destroyed it."""


class BundleView(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a job's contacts."""

    state: BundleState
    """waiting: it is made before anything is sent. making: records are being read. kept: it is complete. destroyed: it
    has expired, or was destroyed."""
    id: str | None
    """Which of the job's bundles it is; None before it is begun."""
    contacts: int
    """Contacts with a record; only these are sent."""
    bytes: int
    """Size in the store."""
    objects: int
    """Objects in the store, without the manifest."""
    made_at: str | None
    """When it was begun."""
    expires_at: str | None
    """When it is destroyed; None until the job has ended."""
    destroyed_at: str | None


async def manifest_sha256(redis: Redis, job_id: str) -> str | None:
    """Return the SHA-256 of the manifest of a job's bundle, in hexadecimal; None if it is not complete."""
    sha256 = await redis.execute_command("HGET", keys.job(job_id), "bundle_sha256")
    return sha256.decode() if sha256 else None


def read_bundle(facts: Mapping[str, str]) -> BundleView | None:
    """Return the bundle of a job; None if it keeps none.

    Args:
        facts: the fields of its hash.
    """
    if "undo" not in facts:
        return None
    state = BundleState(facts.get("bundle", BundleState.WAITING))
    ended_ms = int(facts.get("finished_ms", 0))
    is_there = state in {BundleState.MAKING, BundleState.KEPT}
    return BundleView(
        state=state,
        id=facts.get("bundle_id"),
        contacts=int(facts.get("bundle_contacts", 0)),
        bytes=int(facts.get("bundle_bytes", 0)),
        objects=int(facts.get("bundle_objects", 0)),
        made_at=iso_or_none(facts.get("bundle_made_ms")),
        expires_at=iso(expires_ms(facts, ended_ms)) if ended_ms and is_there else None,
        destroyed_at=iso_or_none(facts.get("bundle_destroyed_ms")),
    )


def expires_ms(facts: Mapping[str, str], ended_ms: int) -> int:
    """Return when a bundle is destroyed, Unix milliseconds.

    One of a job that has deleted nothing restores nothing, so it goes as soon as it cannot be in use any more.

    Args:
        facts: the fields of its job's hash.
        ended_ms: when the job ended.
    """
    has_deleted = any(int(facts.get(f"n:{outcome}", 0)) for outcome in ("deleted", "presumed_deleted"))
    if not has_deleted:
        return ended_ms + USELESS_AFTER_MS
    return ended_ms + round(float(facts.get("bundle_days", 0)) * DAY_MS)


USELESS_AFTER_MS = 10 * 60_000
"""A worker that was making the bundle when its job was cancelled has put its last object by then."""
