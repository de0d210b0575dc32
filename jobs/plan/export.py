"""A plan as text: one line per contact ID, or only those that ended otherwise than predicted."""

import asyncio
from collections.abc import AsyncGenerator

from redis.asyncio import Redis

from jobs.ledger.export import Format
from jobs.ledger.rows import COLUMNS, Rows, make_line, read_rows
from jobs.plan.verdicts import read_verdicts, unpack
from jobs.store import keys
from jobs.store.keys import known_key
from jobs.words.contact_ids import decode_segment
from jobs.words.errors import NoPlan, UnknownJob
from jobs.words.outcomes import Code
from jobs.words.verdicts import Verdict, VerdictCode

PLAN_COLUMNS = ("contact_id", "verdict")
DEPARTURE_COLUMNS = (*COLUMNS, "verdict")

_WORDS = {code.value: code.verdict for code in VerdictCode if code}
_AS_PREDICTED = {code.value: code.predicted for code in VerdictCode if code}


async def read_plan_text(
    redis: Redis, job_id: str, form: Format, verdict: Verdict | None = None
) -> AsyncGenerator[tuple[str, int], None]:
    """Read a plan as text, in ascending order of contact ID, a segment at a time.

    Args:
        redis: the connection.
        job_id: the job's ID.
        form: CSV with the columns `PLAN_COLUMNS`, or NDJSON with the same members.
        verdict: only contacts with this verdict; None for all.

    Yields:
        The header and whole lines, and how many lines they are.

    Raises:
        UnknownJob: no such job, or no longer.
        NoPlan: it has no plan, or none yet.
    """
    digest = await _digest(redis, job_id)
    header = ",".join(PLAN_COLUMNS) + "\n" if form is Format.CSV else ""
    segment = 0
    while True:
        # In one step: the job could be forgotten, and its ID return with another plan.
        pipe = redis.pipeline(transaction=True)
        pipe.execute_command("HGET", keys.job(job_id), "plan_digest")
        pipe.execute_command("HGET", keys.segments(job_id), str(segment))
        pipe.execute_command("HGET", keys.verdicts(job_id), str(segment))
        belongs_to, data, verdicts = await pipe.execute()
        if belongs_to != digest:
            raise UnknownJob(job_id)
        if data is None:
            break
        text, count = await asyncio.to_thread(_plan_lines, data, unpack(verdicts), form, verdict)
        yield header + text, count
        header = ""
        segment += 1
    if header:
        yield header, 0


async def read_departures(redis: Redis, job_id: str, form: Format) -> AsyncGenerator[tuple[str, int], None]:
    """Read the lines of a ledger that are not as the job's plan predicted, with the verdict behind each.

    Contacts that are not decided yet have not departed from the plan.

    Args:
        redis: the connection.
        job_id: the job's ID.
        form: CSV with the columns `DEPARTURE_COLUMNS`, or NDJSON with the same members.

    Yields:
        The header and whole lines, and how many lines they are.

    Raises:
        UnknownJob: no such job, or no longer.
        NoPlan: it has no plan, or none yet.
    """
    await _digest(redis, job_id)
    header = ",".join(DEPARTURE_COLUMNS) + "\n" if form is Format.CSV else ""
    segment = 0
    async for rows in read_rows(redis, job_id):
        verdicts = await read_verdicts(redis, job_id, segment)
        text, count = await asyncio.to_thread(_departures, rows, verdicts, form)
        yield header + text, count
        header = ""
        segment += 1
    if header:
        yield header, 0


def departs(verdict: int, code: int) -> bool:
    """Check whether a contact ended otherwise than predicted.

    Args:
        verdict: its code in the plan.
        code: its code in the ledger.
    """
    return code != Code.PENDING and code not in _AS_PREDICTED[verdict]


async def _digest(redis: Redis, job_id: str) -> bytes:
    digest, state = await redis.execute_command("HMGET", known_key(job_id), "plan_digest", "state")
    if state is None:
        raise UnknownJob(job_id)
    if digest is None:
        raise NoPlan(job_id)
    plan: bytes = digest
    return plan


def _plan_lines(data: bytes, verdicts: bytearray, form: Format, verdict: Verdict | None) -> tuple[str, int]:
    lines = []
    for contact_id, code in zip(decode_segment(data), verdicts, strict=True):
        word = _WORDS[code]
        if verdict in {None, word}:
            is_csv = form is Format.CSV
            lines.append(
                f"{contact_id},{word}\n" if is_csv else f'{{"contact_id": {contact_id}, "verdict": "{word}"}}\n'
            )
    return "".join(lines), len(lines)


def _departures(rows: Rows, verdicts: bytearray, form: Format) -> tuple[str, int]:
    lines = []
    for contact_id, fact, verdict in zip(rows.ids, rows.facts(), verdicts, strict=True):
        if departs(verdict, fact[0]):
            line, word = make_line(contact_id, fact), _WORDS[verdict]
            if form is Format.CSV:
                lines.append(f"{line.csv().rstrip()},{word}\n")
            else:
                lines.append(f'{line.json().rstrip()[:-1]}, "verdict": "{word}"}}\n')
    return "".join(lines), len(lines)
