"""Reading the ledger: one line per contact ID, in ascending order, a segment at a time."""

from array import array
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge

from pyroaring import BitMap
from redis.asyncio import Redis

from jobs import keys
from jobs.contact_ids import SEGMENT_SIZE, decode_segment
from jobs.control import UnknownJob
from jobs.items import Item
from jobs.outcomes import Code, Outcome
from jobs.records import SegmentLedger

COLUMNS = ("contact_id", "outcome", "reason", "http_status", "attempts", "at")


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one contact ID.

    Attributes:
        contact_id: the ID.
        code: outcome and reason.
        http_status: status of the last PUT that held it; None where there was none.
        attempts: PUTs that held it, throttled ones not counted.
        at: when the outcome was recorded, ISO 8601 in UTC; None while it is pending.
    """

    contact_id: int
    code: Code
    http_status: int | None
    attempts: int
    at: str | None

    def json(self) -> str:
        """The line as one JSON object."""
        reason, at = self.code.reason, self.at
        return (
            f'{{"contact_id": {self.contact_id}, "outcome": "{self.code.outcome}", '
            f'"reason": {_quoted(reason)}, "http_status": {self.http_status or "null"}, '
            f'"attempts": {self.attempts}, "at": {_quoted(at)}}}\n'
        )

    def csv(self) -> str:
        """The line as CSV, with the columns of `COLUMNS`. No value ever needs quotes."""
        return (
            f"{self.contact_id},{self.code.outcome},{self.code.reason or ''},{self.http_status or ''},"
            f"{self.attempts},{self.at or ''}\n"
        )


def iso(time_ms: int) -> str:
    """Write a Unix time in milliseconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def read_results(redis: Redis, job_id: str, outcome: Outcome | None = None) -> AsyncIterator[list[Line]]:
    """Read a job's ledger.

    Args:
        redis: the connection.
        job_id: the job's ID.
        outcome: only the lines with this outcome; None for all.

    Yields:
        Lines in ascending order of contact ID, at most a segment (65,536) at a time, so that a ledger of any size is
        read in constant memory.

    Raises:
        UnknownJob: no such job.
    """
    names = ("to_send", "skipped_from", "finished_ms", "created_ms")
    facts = dict(zip(names, await redis.execute_command("HMGET", keys.job(job_id), *names), strict=True))
    if facts["to_send"] is None:
        raise UnknownJob(job_id)
    to_send = int(facts["to_send"])
    skipped_from = int(facts["skipped_from"] or to_send)
    cancelled_at = iso(int(facts["finished_ms"] or facts["created_ms"]))
    protected = _Protected(
        await redis.execute_command("HGET", keys.segments(job_id), "protected"), iso(int(facts["created_ms"]))
    )
    waiting = await _waiting(redis, job_id)
    for segment, start in enumerate(range(0, to_send, SEGMENT_SIZE)):
        data = await redis.execute_command("HGET", keys.segments(job_id), str(segment))
        records = await redis.execute_command("LRANGE", keys.ledger(job_id, segment), 0, -1)
        if data is None:
            raise UnknownJob(job_id)
        ids = decode_segment(data)
        ledger = SegmentLedger.replay(len(ids), records)
        for item in waiting.get(segment, ()):
            ledger.note_item(item)
        ledger.note_skipped(max(0, skipped_from - start))
        lines = list(protected.join(_lines(ids, ledger, cancelled_at), up_to=ids[-1]))
        yield [line for line in lines if line.code.outcome is outcome] if outcome else lines
    yield [line for line in protected.rest() if outcome in {None, Outcome.PROTECTED}]


async def _waiting(redis: Redis, job_id: str) -> dict[int, list[Item]]:
    """The items of a job by segment: contact IDs that were sent already and are not decided yet."""
    waiting: dict[int, list[Item]] = {}
    for data in await redis.execute_command("HVALS", keys.items(job_id)):
        item = Item.decode(data)
        waiting.setdefault(item.segment, []).append(item)
    return waiting


def _lines(ids: "array[int]", ledger: SegmentLedger, cancelled_at: str) -> Iterator[Line]:
    codes = {code.value: code for code in Code}
    times: dict[int, str | None] = {0: None}
    for contact_id, code, attempts, http_status, at_ms in zip(
        ids, ledger.codes, ledger.attempts, ledger.http_statuses, ledger.at_ms, strict=True
    ):
        at = times.get(at_ms)
        if at is None and at_ms:
            at = times[at_ms] = iso(at_ms)
        if code == Code.SKIPPED and at is None:
            at = cancelled_at
        yield Line(contact_id, codes[code], http_status or None, attempts, at)


class _Protected:
    """Lines of protected contact IDs, which are in no segment, on their way to the place where they belong."""

    def __init__(self, data: bytes | None, at: str) -> None:
        self._ids = BitMap.deserialize(data) if data else BitMap()
        self._at = at

    def join(self, lines: Iterator[Line], *, up_to: int) -> Iterator[Line]:
        """Merge those up to a contact ID into lines that end there."""
        if not self._ids:
            return lines
        now = self._ids & BitMap(range(up_to + 1))
        self._ids -= now
        return merge(lines, self._lines(now), key=lambda line: line.contact_id)

    def rest(self) -> Iterator[Line]:
        """Those behind the last segment."""
        return self._lines(self._ids)

    def _lines(self, ids: BitMap) -> Iterator[Line]:
        return (Line(contact_id, Code.PROTECTED, None, 0, self._at) for contact_id in ids)


def _quoted(text: str | None) -> str:
    return "null" if text is None else f'"{text}"'
