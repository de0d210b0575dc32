"""The ledger as text, fast: consecutive lines mostly differ only in their contact ID."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import groupby

import msgspec
from redis.asyncio import Redis

from jobs.ledger.rows import COLUMNS, Fact, Rows, make_line, read_rows
from jobs.words.outcomes import Outcome

#: Lines written at a time: a millisecond of work, so that the event loop never waits long for the interpreter's lock,
#: and 200 KB that a slow reader can keep in our memory.
LINES_AT_ONCE = 2048


_encode = msgspec.json.Encoder().encode


class Format(StrEnum):
    """How a ledger is written."""

    CSV = "csv"
    NDJSON = "ndjson"

    @property
    def header(self) -> str:
        """The text before the first line."""
        return ",".join(COLUMNS) + "\n" if self is Format.CSV else ""


async def read_text(
    redis: Redis, job_id: str, form: Format, outcome: Outcome | None = None
) -> AsyncGenerator[tuple[str, int], None]:
    """Read a job's ledger as text. The text is built in threads, so that the event loop stays responsive.

    Args:
        redis: the connection.
        job_id: the job's ID.
        form: CSV, with lines as in `Line.csv`, or NDJSON, with lines as in `Line.json`.
        outcome: only the lines with this outcome; None for all.

    Yields:
        The header and whole lines in ascending order of contact ID, at most `LINES_AT_ONCE` of them, and how many
        lines they are. The text is empty where none of that many lines has the outcome.

    Raises:
        UnknownJob: no such job, or no longer.
    """
    header = form.header
    async for rows in read_rows(redis, job_id):
        for start in range(0, len(rows.ids), LINES_AT_ONCE):
            text, count = await asyncio.to_thread(_write, _part(rows, start, start + LINES_AT_ONCE), form, outcome)
            yield header + text, count
            header = ""
    if header:
        yield header, 0


def csv_lines(rows: Rows, start: int, end: int) -> list[bytes]:
    """Write some of the lines as `read_text` does in CSV, each without its line end.

    Args:
        rows: the lines by column.
        start: the first of them to write.
        end: the one behind the last; may be behind the end of the rows.
    """
    text, _ = _write(_part(rows, start, end), Format.CSV, None)
    return text.encode().splitlines()


def _part(rows: Rows, start: int, end: int) -> Rows:
    columns = (rows.ids, rows.codes, rows.attempts, rows.http_statuses, rows.at_ms)
    return Rows(*(column[start:end] for column in columns))


def _write(rows: Rows, form: Format, outcome: Outcome | None) -> tuple[str, int]:
    pieces = list(_runs(rows, form, outcome))
    return "".join(text for text, _ in pieces), sum(count for _, count in pieces)


def _runs(rows: Rows, form: Format, outcome: Outcome | None) -> Iterator[tuple[str, int]]:
    """Write runs of lines that differ only in their contact ID."""
    start = 0
    for fact, run in groupby(rows.facts()):
        end = start + len(list(run))
        before, behind, of_outcome = _around(fact, form)
        if outcome is None or of_outcome is outcome:
            yield f"{before}{_joined(rows.ids[start:end], behind + before)}{behind}", end - start
        start = end


def _joined(ids: Sequence[int], between: str) -> str:
    """Write numbers with a text between them, three times faster than with `str` and `join`."""
    return _encode(list(ids))[1:-1].decode("ascii").replace(",", between)


@lru_cache(maxsize=4096)
def _around(fact: Fact, form: Format) -> tuple[str, str, Outcome]:
    """Return the text before and after the contact ID in such a line, and its outcome."""
    line = make_line(0, fact)
    before, _, behind = (line.csv() if form is Format.CSV else line.json()).partition("0")
    return before, behind, line.code.outcome
