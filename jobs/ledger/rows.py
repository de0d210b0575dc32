"""Reading the ledger: one line per contact ID, in ascending order, a segment at a time."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from redis.asyncio import Redis

from jobs.ledger.canary import Canary
from jobs.ledger.items import Item
from jobs.ledger.records import SegmentLedger
from jobs.store import keys
from jobs.store.keys import known_key
from jobs.store.times import iso_or_none
from jobs.words.contact_ids import SEGMENT_SIZE, decode_segment
from jobs.words.errors import UnknownJob
from jobs.words.outcomes import Code, Outcome

COLUMNS = ("contact_id", "outcome", "reason", "http_status", "attempts", "at")

#: What a line says besides its contact ID: code, attempts, HTTP status, time in Unix milliseconds.
Fact = tuple[int, int, int, int]

_CODES = {code.value: code for code in Code}


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one contact ID.

    Attributes:
        contact_id: the ID.
        code: outcome and reason.
        http_status: status of the last PUT that contained it; None if there was none.
        attempts: PUTs that contained it, not counting throttled ones.
        at: when the outcome was recorded, ISO 8601 in UTC; None while it is pending.
    """

    contact_id: int
    code: Code
    http_status: int | None
    attempts: int
    at: str | None

    def json(self) -> str:
        """Return the line as one JSON object."""
        reason, at = self.code.reason, self.at
        return (
            f'{{"contact_id": {self.contact_id}, "outcome": "{self.code.outcome}", '
            f'"reason": {_quoted(reason)}, "http_status": {self.http_status or "null"}, '
            f'"attempts": {self.attempts}, "at": {_quoted(at)}}}\n'
        )

    def csv(self) -> str:
        """Return the line as CSV, with the columns of `COLUMNS`. No value ever needs quotes."""
        return (
            f"{self.contact_id},{self.code.outcome},{self.code.reason or ''},{self.http_status or ''},"
            f"{self.attempts},{self.at or ''}\n"
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """Ledger lines by column, in ascending order of contact ID; index i of every column is line i.

    Attributes:
        ids: the contact IDs.
        codes: outcomes with their reasons.
        attempts: PUTs that contained them.
        http_statuses: statuses of the last of these; 0 if there was none.
        at_ms: when the outcomes were recorded, Unix milliseconds; 0 while they are pending.
    """

    ids: Sequence[int]
    codes: Sequence[int]
    attempts: Sequence[int]
    http_statuses: Sequence[int]
    at_ms: Sequence[int]

    def facts(self) -> Iterator[Fact]:
        """Return everything but the contact IDs, line by line."""
        return zip(self.codes, self.attempts, self.http_statuses, self.at_ms, strict=True)


async def has_ledger(redis: Redis, job_id: str) -> bool:
    """Check whether a job has a ledger: one that is still a plain arq message has none."""
    return bool(await redis.execute_command("HEXISTS", known_key(job_id), "digest"))


async def read_results(redis: Redis, job_id: str, outcome: Outcome | None = None) -> AsyncIterator[list[Line]]:
    """Read a job's ledger.

    Args:
        redis: the connection.
        job_id: the job's ID.
        outcome: only the lines with this outcome; None for all.

    Yields:
        Lines in ascending order of contact ID, about a segment (65,536) at a time, so that a ledger of any size is
        read in constant memory.

    Raises:
        UnknownJob: no such job.
    """
    async for rows in read_rows(redis, job_id):
        lines = [make_line(contact_id, fact) for contact_id, fact in zip(rows.ids, rows.facts(), strict=True)]
        yield [line for line in lines if line.code.outcome is outcome] if outcome else lines


async def read_rows(redis: Redis, job_id: str, *, only: int | None = None) -> AsyncIterator[Rows]:
    """Read a job's ledger by column, a segment at a time; arguments and errors are those of `read_results`.

    Args:
        redis: the connection.
        job_id: the job's ID.
        only: number of the only segment to read; None for all.
    """
    key = known_key(job_id)
    names = ("digest", "total", "skipped_from", "skipped_ms", "canary", "skipped_canary_from")
    facts = dict(zip(names, await redis.execute_command("HMGET", key, *names), strict=True))
    if facts["total"] is None:
        raise UnknownJob(job_id)
    total = int(facts["total"])
    skipped_from = int(facts["skipped_from"] or total)
    skipped_ms = int(facts["skipped_ms"] or 0)
    canary = Canary(int(facts["canary"]), total) if facts["canary"] else None
    canary_sent = int(facts["skipped_canary_from"] or 0)
    waiting = await _waiting(redis, job_id)
    for segment, start in enumerate(range(0, total, SEGMENT_SIZE)):
        if only not in {None, segment}:
            continue
        # In one step: a job that is forgotten in between would look undecided. Its ID may even be in use again, with
        # another list.
        pipe = redis.pipeline(transaction=True)
        pipe.execute_command("HGET", key, "digest")
        pipe.execute_command("HGET", keys.segments(job_id), str(segment))
        pipe.execute_command("LRANGE", keys.ledger(job_id, segment), 0, -1)
        digest, data, records = await pipe.execute()
        if data is None or digest != facts["digest"]:
            raise UnknownJob(job_id)
        ids = decode_segment(data)
        ledger = SegmentLedger.replay(len(ids), records)
        for item in waiting.get(segment, ()):
            ledger.note_item(item)
        first_skipped, end = max(start, skipped_from), start + len(ids)
        sent = canary.places(first_skipped, end, canary_sent) if canary and first_skipped < end else ()
        ledger.note_skipped(first_skipped - start, skipped_ms, (place - start for place in sent))
        yield Rows(ids, ledger.codes, ledger.attempts, ledger.http_statuses, ledger.at_ms)


def make_line(contact_id: int, fact: Fact) -> Line:
    """Return one line in the form for people."""
    code, attempts, http_status, at_ms = fact
    return Line(contact_id, _CODES[code], http_status or None, attempts, _as_text(at_ms))


async def _waiting(redis: Redis, job_id: str) -> dict[int, list[Item]]:
    """Return the items of a job by segment: contact IDs that have been sent and are not decided yet."""
    waiting: dict[int, list[Item]] = {}
    for data in await redis.execute_command("HVALS", keys.items(job_id)):
        item = Item.decode(data)
        waiting.setdefault(item.segment, []).append(item)
    return waiting


_as_text = lru_cache(maxsize=4096)(iso_or_none)


def _quoted(text: str | None) -> str:
    return "null" if text is None else f'"{text}"'
