"""Reading the ledger: every contact ID once, in ascending order, whatever is known about it so far."""

import csv
import json
from datetime import datetime

import pytest
from arq.connections import ArqRedis

from jobs.ledger.items import Call
from jobs.ledger.rows import COLUMNS
from jobs.view.job import read_job
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.errors import UnknownJob
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import Event, State
from tests.support.lanes import LOST, accept, answer, lines_of, lose, start_lane, take, terms
from tests.support.steering import control
from worker.portal_answers import Visible


async def mixed(redis: ArqRedis) -> str:
    """Make a cancelled job with six kinds of outcomes."""
    job_id = await accept(redis, range(1, 41))
    ledger = await start_lane(redis)
    await answer(redis, ledger, await take(ledger), gone=range(1, 6))
    await answer(redis, ledger, await take(ledger), visible={6: Visible.READ_ONLY, 7: Visible.HAS_INVOICE})
    await lose(redis, ledger, await take(ledger), LOST)
    await control(redis, job_id, Event.CANCEL, by="test", lanes=0)
    batch = await take(ledger)
    assert (batch.call, batch.state) == (Call.LOOK_UP, State.CANCELLING)
    await answer(redis, ledger, batch, visible={20: Visible.DELETABLE})
    assert (await read_job(redis, job_id)).state is State.CANCELLED
    return job_id


async def test_every_outcome_stands_where_it_belongs(redis: ArqRedis) -> None:
    job_id = await mixed(redis)
    lines = await lines_of(redis, job_id)
    assert [line.contact_id for line in lines] == list(range(1, 41))
    expected = (
        [Code.DELETED] * 5
        + [Code.READ_ONLY, Code.HAS_INVOICE]
        + [Code.NOT_FOUND] * 3
        + [Code.PRESUMED_DELETED] * 9
        + [Code.TIMEOUT]
        + [Code.SKIPPED] * 20
    )
    assert [line.code for line in lines] == expected
    assert [line.attempts for line in lines] == [1] * 20 + [0] * 20
    assert [line.http_status for line in lines] == [200] * 10 + [None] * 30
    assert all(line.at for line in lines)


@pytest.mark.parametrize("outcome", list(Outcome))
async def test_a_filter_gives_the_lines_with_that_outcome_alone(redis: ArqRedis, outcome: Outcome) -> None:
    job_id = await mixed(redis)
    every = await lines_of(redis, job_id)
    some = await lines_of(redis, job_id, outcome=outcome)
    assert some == [line for line in every if line.code.outcome is outcome]
    assert len(some) == (await read_job(redis, job_id)).counts[outcome]


async def test_what_is_under_way_shows_its_attempts(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 31))
    ledger = await start_lane(redis)
    await lose(redis, ledger, await take(ledger), LOST)
    await take(ledger)
    lines = await lines_of(redis, job_id)
    assert {line.code for line in lines} == {Code.PENDING}
    assert [line.attempts for line in lines] == [1] * 10 + [0] * 20
    assert not any(line.at for line in lines)


async def test_lines_come_in_order_across_segments(redis: ArqRedis) -> None:
    total = SEGMENT_SIZE + 5000
    job_id = await accept(redis, range(2, 2 * total + 1, 2))
    ledger = await start_lane(redis)
    large = terms(batch_size=1000)
    for _ in range(68):
        await answer(redis, ledger, await take(ledger, large))
    await control(redis, job_id, Event.CANCEL, by="test", lanes=0)
    lines = await lines_of(redis, job_id)
    assert [line.contact_id for line in lines] == list(range(2, 2 * total + 1, 2))
    # 65 batches and a short one fill the first segment; two more are in the second.
    done = SEGMENT_SIZE + 2000
    assert [line.code for line in lines] == [Code.DELETED] * done + [Code.SKIPPED] * (total - done)


async def test_a_line_reads_the_same_as_json_and_as_csv(redis: ArqRedis) -> None:
    job_id = await mixed(redis)
    for line in await lines_of(redis, job_id):
        told = json.loads(line.json())
        assert tuple(told) == COLUMNS
        [row] = csv.reader([line.csv()])
        assert row == ["" if value is None else str(value) for value in told.values()]
        assert datetime.fromisoformat(told["at"]).tzinfo


async def test_an_unknown_job_is_an_error(redis: ArqRedis) -> None:
    with pytest.raises(UnknownJob):
        await lines_of(redis, "nobody")
