"""The fast text of a ledger is the same, line for line, as its lines written one by one."""

import csv
import io
import random

import msgspec
import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

from jobs.accept.submit import submit
from jobs.ledger.export import Format, read_text
from jobs.ledger.items import Call, Item
from jobs.ledger.records import Record
from jobs.ledger.rows import COLUMNS, read_results
from jobs.store import keys
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.errors import UnknownJob
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import Event
from tests.support.steering import control
from tests.support.submitting import request


async def text_of(redis: ArqRedis, job_id: str, form: Format, outcome: Outcome | None = None) -> tuple[str, int]:
    parts = [part async for part in read_text(redis, job_id, form, outcome)]
    return "".join(text for text, _ in parts), sum(count for _, count in parts)


async def make_job(redis: ArqRedis, *, total: int) -> list[int]:
    """Make a job with some contact IDs decided, in records of mixed codes, and some waiting."""
    chance = random.Random(5)
    ids = BitMap(chance.sample(range(1, 4 * total), total))
    await submit(redis, request(portal="main", ids=ids, job_id="job"))
    codes = [code for code in Code if code not in {Code.PENDING, Code.SKIPPED}]
    for segment in range(-(-total // SEGMENT_SIZE)):
        size = min(SEGMENT_SIZE, total - segment * SEGMENT_SIZE)
        for start in range(0, size // 2, 100):
            positions = range(start, min(start + 100, size // 2))
            record = Record(
                positions=positions,
                codes=bytes(chance.choices(codes, weights=[50] + [1] * (len(codes) - 1), k=len(positions))),
                attempts=chance.randrange(4),
                http_status=chance.choice([0, 200, 500]),
                at_ms=1_764_000_000_000 + start * 977,
            )
            await redis.execute_command("RPUSH", keys.ledger("job", segment), record.encode())
    item = Item(call=Call.LOOK_UP, segment=0, positions=[total % SEGMENT_SIZE - 1], attempts=2, http_status=502)
    await redis.execute_command("HSET", keys.items("job"), "1:1", item.encode())
    return list(ids)


@pytest.mark.parametrize("outcome", [None, *Outcome])
async def test_text_is_what_the_lines_say(redis: ArqRedis, outcome: Outcome | None) -> None:
    await make_job(redis, total=3000)
    lines = [line for part in [part async for part in read_results(redis, "job", outcome)] for line in part]
    expected = ",".join(COLUMNS) + "\n" + "".join(line.csv() for line in lines)
    assert await text_of(redis, "job", Format.CSV, outcome) == (expected, len(lines))
    assert await text_of(redis, "job", Format.NDJSON, outcome) == ("".join(line.json() for line in lines), len(lines))
    assert outcome is None or {line.code.outcome for line in lines} <= {outcome}


async def test_every_contact_id_has_one_line_in_ascending_order(redis: ArqRedis) -> None:
    ids = await make_job(redis, total=SEGMENT_SIZE + 5000)
    text, count = await text_of(redis, "job", Format.NDJSON)
    lines = [msgspec.json.decode(line) for line in text.splitlines()]
    assert [line["contact_id"] for line in lines] == ids
    assert all(tuple(line) == COLUMNS for line in lines)
    assert count == len(ids)
    rows = list(csv.DictReader(io.StringIO((await text_of(redis, "job", Format.CSV))[0])))
    assert [
        {name: "" if value is None else str(value) for name, value in line.items()} for line in lines
    ] == rows  # both forms say the same


async def test_contacts_of_a_cancelled_job_are_skipped_since_it_was_cancelled(redis: ArqRedis) -> None:
    await submit(redis, request(portal="main", ids=BitMap(range(1, 11)), job_id="job"))
    await control(redis, "job", Event.CANCEL, by="test")
    lines = [msgspec.json.decode(line) for line in (await text_of(redis, "job", Format.NDJSON))[0].splitlines()]
    assert [line["outcome"] for line in lines] == ["skipped"] * 10
    assert all(line["at"] and line["attempts"] == 0 and line["http_status"] is None for line in lines)


async def test_a_ledger_without_lines_of_an_outcome_is_a_header(redis: ArqRedis) -> None:
    await submit(redis, request(portal="main", ids=BitMap([1]), job_id="job"))
    assert await text_of(redis, "job", Format.CSV, Outcome.FAILED) == (",".join(COLUMNS) + "\n", 0)
    with pytest.raises(UnknownJob):
        await text_of(redis, "no-such-job", Format.CSV)


async def test_a_job_without_contacts_has_a_header_too(redis: ArqRedis) -> None:
    await redis.execute_command("HSET", keys.job("job"), "total", "0")
    assert await text_of(redis, "job", Format.CSV) == (",".join(COLUMNS) + "\n", 0)
    assert await text_of(redis, "job", Format.NDJSON) == ("", 0)


@pytest.mark.parametrize("comes_back", [False, True])
async def test_a_job_that_is_forgotten_while_it_is_read_ends_in_an_error(redis: ArqRedis, comes_back: bool) -> None:
    """This also holds if its ID is in use again by then: the lists of two jobs are never mixed."""
    total = SEGMENT_SIZE + 10
    await submit(redis, request(portal="main", ids=BitMap(range(1, total + 1)), job_id="job", by="test"))
    parts = read_text(redis, "job", Format.NDJSON)
    counts = [(await anext(parts))[1]]
    await redis.flushall()
    if comes_back:
        await submit(redis, request(portal="main", ids=BitMap(range(2, total + 2)), job_id="job", by="test"))

    async def read_on() -> None:
        counts.extend([count async for _, count in parts])

    with pytest.raises(UnknownJob):
        await read_on()
    assert sum(counts) <= SEGMENT_SIZE
