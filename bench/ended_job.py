"""A job that has ended, written to Redis without a portal: for what reads ledgers and nothing else."""

from collections import Counter

from arq.connections import ArqRedis
from pyroaring import BitMap

from jobs.accept.submission import Submission
from jobs.accept.submit import submit
from jobs.ledger.records import Record
from jobs.store import keys
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.outcomes import Code, Outcome

_FIRST_MS, _LAST_MS = 1_764_000_000_000, 1_764_100_000_000
_BATCH = 200
#: One contact in so many was not found; the others are deleted.
_RARE = 50


async def make_ended_job(redis: ArqRedis, ids: BitMap, *, portal: str, job_id: str) -> None:
    """Make a completed job, as if its batches of 200 had been decided one after the other."""
    await submit(redis, Submission(portal=portal, ids=ids, needs_approval=False, job_id=job_id, lanes=0, by="bench"))
    counts: Counter[Outcome] = Counter()
    for segment, start in enumerate(range(0, len(ids), SEGMENT_SIZE)):
        records = _records(segment, min(SEGMENT_SIZE, len(ids) - start))
        for record in records:
            counts.update(record.counts())
        await redis.execute_command("RPUSH", keys.ledger(job_id, segment), *(record.encode() for record in records))
    facts: dict[str, str | int] = {
        "state": "completed",
        "cursor": len(ids),
        "started_ms": _FIRST_MS,
        "finished_ms": _LAST_MS,
        **{f"n:{outcome}": counts[outcome] for outcome in Outcome},
    }
    await redis.execute_command("HSET", keys.job(job_id), *(part for pair in facts.items() for part in pair))
    await redis.zadd(keys.FINISHED, {job_id: _LAST_MS})


def _records(segment: int, size: int) -> list[Record]:
    records = []
    for start in range(0, size, _BATCH):
        positions = range(start, min(start + _BATCH, size))
        codes = bytes(Code.DELETED if position % _RARE else Code.NOT_FOUND for position in positions)
        at_ms = _FIRST_MS + segment * 400_000 + start * 5
        records.append(Record(positions=positions, codes=codes, attempts=1, http_status=200, at_ms=at_ms))
    return records
