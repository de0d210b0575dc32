"""The digest of a plan: what a person approves, in 64 hexadecimal digits.

It is the SHA-256 of this text, each line ended by a line feed:

    crm-sweep plan 1
    operation: delete contacts
    conditions: …
    list: …
    verdicts: …

- `operation` is `keep records, then delete contacts` for a job that keeps a bundle.
- `list` is the SHA-256 of the contact IDs in ascending order, each as four little-endian bytes.
- `verdicts` is the SHA-256 of their verdicts in the same order, one byte each (jobs/words/verdicts.py).
- `conditions` is the SHA-256 of the portal's address, its protected list and the guards in force: `conditions_of` has
  the text.

Whoever sends works it out again from what is stored and from its own configuration. Nothing in it depends on a server,
a worker or a release, so restarts and moves leave it as it is.
"""

import hashlib

import msgspec
from pyroaring import BitMap
from redis.asyncio import Redis

from config.portal import Portal
from jobs.plan.verdicts import unpack
from jobs.store import keys
from jobs.words.contact_ids import decode_segment, digest, little_endian

_GUARDS = (
    "canary",
    "canary_confirm",
    "canary_departures",
    "max_contacts_per_day",
    "max_contacts_per_job",
    "max_share",
    "protected_tags",
    "second_person_above",
)
"""The guards that a plan is approved under. Windows and waits only say when, so they can change at any time."""

_KEEPING = "undo"
"""One more, unless it is off: plans that were made before there was such a guard stay what they are."""


def conditions_of(portal: Portal, protected: BitMap) -> str:
    """Return the SHA-256, in hexadecimal, of the conditions under which a portal's plans are made and carried out.

    Args:
        portal: the portal's settings.
        protected: contact IDs that are never sent.
    """
    names = _GUARDS if portal.undo == "off" else (*_GUARDS, _KEEPING)
    guards = {name: getattr(portal, name) for name in names}
    text = f"address: {portal.url}\nprotected: {digest(protected)}\nguards: {_sorted_json(guards)}\n"
    return hashlib.sha256(text.encode()).hexdigest()


class PlanDigest:
    """Works out the digest of a plan, segment by segment.

    Args:
        keeps_records: whether the records of the contacts are kept before they are deleted.
    """

    def __init__(self, *, keeps_records: bool = False) -> None:
        self._operation = "keep records, then delete contacts" if keeps_records else "delete contacts"
        self._list = hashlib.sha256()
        self._verdicts = hashlib.sha256()

    def add(self, segment: bytes, verdicts: bytes | bytearray) -> None:
        """Add the next segment.

        Args:
            segment: its contact IDs, as stored.
            verdicts: a code per contact ID.

        Raises:
            ValueError: these are not those of one segment.
        """
        ids = decode_segment(segment)
        if len(ids) != len(verdicts):
            raise ValueError(f"{len(verdicts)} verdicts for {len(ids)} contact IDs")
        self._list.update(little_endian(ids))
        self._verdicts.update(verdicts)

    def hexdigest(self, conditions: str) -> str:
        """Return the digest of all segments so far, under these conditions (see `conditions_of`)."""
        text = (
            f"crm-sweep plan 1\noperation: {self._operation}\n"
            f"conditions: {conditions}\nlist: {self._list.hexdigest()}\nverdicts: {self._verdicts.hexdigest()}\n"
        )
        return hashlib.sha256(text.encode()).hexdigest()


async def recompute(redis: Redis, job_id: str, conditions: str) -> str:
    """Work out the digest of a job's plan from what is stored, a segment at a time.

    Args:
        redis: the connection.
        job_id: the job's ID.
        conditions: those of whoever asks.

    Raises:
        ValueError: something is missing, or is not a plan.
    """
    keeps_records = await redis.execute_command("HEXISTS", keys.job(job_id), "undo")
    plan = PlanDigest(keeps_records=bool(keeps_records))
    for segment in range(await redis.execute_command("HLEN", keys.segments(job_id))):
        pipe = redis.pipeline(transaction=False)
        pipe.execute_command("HGET", keys.segments(job_id), str(segment))
        pipe.execute_command("HGET", keys.verdicts(job_id), str(segment))
        ids, verdicts = await pipe.execute()
        plan.add(ids or b"", unpack(verdicts))
    return plan.hexdigest(conditions)


def _sorted_json(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()
