"""Nothing leaves whose record is not kept: the step that hands out batches is attacked, and so is the lane."""

from pathlib import Path

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.accept.submission import CanaryTerms
from jobs.bundles.facts import BundleState
from jobs.bundles.kept import Kept, pack
from jobs.lanes.gates import Gates
from jobs.lanes.grants import Batch, Idle
from jobs.lanes.lease import rescue
from jobs.ledger.canary import Canary
from jobs.ledger.items import Call
from jobs.steering.control import control
from jobs.steering.retry import retry_failed
from jobs.store import keys
from jobs.view.job import read_job
from jobs.words.outcomes import Code, Outcome
from jobs.words.reasons import StateReason
from jobs.words.states import Event, State
from simulator import Behaviour, World
from tests.support.keeping import keeping_settings, kept_of
from tests.support.lanes import accept, answer, lapse, lines_of, lose, start_lane, take, terms
from tests.support.sweeping import MARKS, check_against_truth, ended, in_state
from tests.support.sweeping import accept as submit
from worker.main import working
from worker.portal_answers import Visible

pytestmark = MARKS

BORDER = 65_536


async def pretend_kept(redis: ArqRedis, job_id: str, *segments: int) -> None:
    """Make a job look as if its bundle were complete, with an entry for these segments only."""
    await redis.execute_command("HSET", keys.job(job_id), "bundle", "kept", "bundle_id", "01A", "undo", "1")
    for segment in segments:
        await redis.execute_command("HSET", keys.kept(job_id), str(segment), pack(bytes([Kept.RECORD]) * BORDER))


async def test_without_a_bundle_only_steps_of_it_are_handed_out(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 31), undo=True)
    ledger = await start_lane(redis, "one:1")
    batch = await take(ledger)
    assert (batch.call, batch.job_id) == (Call.SURVEY, job_id)
    other = await start_lane(redis, "two:1")
    assert isinstance(await other.next_batch(terms()), Idle), "one step at a time, and nothing beside it"


async def test_a_portal_that_requires_undo_holds_jobs_that_were_accepted_before(redis: ArqRedis) -> None:
    await accept(redis, range(1, 31))
    ledger = await start_lane(redis)
    first = await take(ledger, terms())
    assert first.call is Call.PUT
    await answer(redis, ledger, first)
    strict = terms(gates=Gates(undo_required=True))
    assert (await take(ledger, strict)).call is Call.SURVEY


@pytest.mark.parametrize("canary", [None, CanaryTerms(contacts=1000)], ids=["no canary", "canary"])
async def test_a_segment_without_an_entry_is_not_handed_out(redis: ArqRedis, canary: CanaryTerms | None) -> None:
    job_id = await accept(redis, range(1, BORDER + 101), canary=canary)
    await pretend_kept(redis, job_id, 0)
    ledger = await start_lane(redis)
    handed_out = 0
    while isinstance(batch := await ledger.next_batch(terms(batch_size=1000)), Batch):
        assert [item.segment for item in batch.items] == [0]
        handed_out += batch.size
        await answer(redis, ledger, batch)
    job = await read_job(redis, job_id)
    assert handed_out == (BORDER if canary is None else Canary(1000, BORDER + 100).before(BORDER))
    assert (job.state, job.state_reason) == (State.PAUSED, StateReason.UNDO_STORE)
    assert "cancel the job" in (job.last_error or "")


async def test_an_item_of_a_segment_without_an_entry_is_not_handed_out_again(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 31))
    await pretend_kept(redis, job_id, 0)
    ledger = await start_lane(redis)
    batch = await take(ledger, terms(batch_size=30))
    await lose(redis, ledger, batch)
    look_up = await take(ledger)
    assert look_up.call is Call.LOOK_UP
    await answer(redis, ledger, look_up, visible=dict.fromkeys(range(1, 31), Visible.DELETABLE))
    await redis.execute_command("DEL", keys.kept(job_id))
    assert isinstance(await ledger.next_batch(terms()), Idle)
    assert (await read_job(redis, job_id)).state_reason == StateReason.UNDO_STORE


async def test_a_cancelled_job_needs_no_bundle_to_come_to_its_end(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 31), undo=True)
    ledger = await start_lane(redis, "one:1")
    step = await take(ledger)
    await control(redis, job_id, Event.CANCEL, by="me")
    assert step.call is Call.SURVEY
    await ledger.release()
    await lapse(redis, "one:1")
    await rescue(redis, "main", 0.0)
    job = await read_job(redis, job_id)
    assert (job.state, job.counts[Outcome.SKIPPED]) == (State.CANCELLED, 30)


async def test_a_lane_that_dies_leaves_no_doubt_about_contacts_without_a_record(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    world = World(40, read_only=range(5, 8), missing=range(10, 20))
    async with simulator.running(world) as portal:
        settings = keeping_settings(server, portal, tmp_path)
        async with working(settings):
            job_id = await submit(redis, range(1, 41), canary=CanaryTerms(contacts=1, confirm=True))
            await in_state(redis, job_id, State.PAUSED)
        await control(redis, job_id, Event.RESUME, by="me")
        dying = await start_lane(redis, "dying")
        await take(dying, terms(batch_size=40))
        await dying.release()
        await rescue(redis, "main", 0.0)
        async with working(settings):
            job = await ended(redis, job_id)
        await check_against_truth(redis, portal, job_id)
    lines = {line.contact_id: line for line in await lines_of(redis, job_id)}
    assert {(lines[one].code, lines[one].attempts) for one in range(10, 20)} == {(Code.NOT_FOUND, 0)}
    assert {(lines[one].code, lines[one].attempts) for one in range(5, 8)} == {(Code.READ_ONLY, 0)}
    assert job.counts[Outcome.DELETED] == 27


async def test_what_was_sent_before_a_late_bundle_stays_doubtful(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    """Undo is switched on while a job runs, and what an earlier batch may have deleted has no record."""
    async with simulator.running(World(60)) as portal:
        job_id = await submit(redis, range(1, 61))
        dying = await start_lane(redis, "dying")
        batch = await take(dying, terms(batch_size=20))
        portal.truth.delete_outside(range(1, 21))  # the batch took effect
        await dying.release()
        await rescue(redis, "main", 0.0)
        async with working(keeping_settings(server, portal, tmp_path)):
            job = await ended(redis, job_id)
        assert batch.size == 20
    assert job.counts[Outcome.PRESUMED_DELETED] == 20
    assert job.counts[Outcome.DELETED] == 40
    _, records = await kept_of(tmp_path, job_id)
    assert set(records) == set(range(21, 61))


async def test_retried_contacts_keep_their_records(redis: ArqRedis, server: EmbeddedServer, tmp_path: Path) -> None:
    world = World(30, poisoned=[4, 9])
    async with simulator.running(world, Behaviour(poison_status=400)) as portal:
        async with working(keeping_settings(server, portal, tmp_path)):
            job_id = await submit(redis, range(1, 31))
            job = await ended(redis, job_id)
            assert job.counts[Outcome.FAILED] == 2
            world.poisoned.clear()
            await retry_failed(redis, job_id, by="me")
            job = await ended(redis, job_id)
        assert job.counts[Outcome.DELETED] == 30
        assert job.bundle is not None
        assert job.bundle.state is BundleState.KEPT
        kinds = [call.kind for call in portal.truth.calls]
        assert "opportunities" not in kinds[kinds.index("delete") :], "the records are not read again"
    _, records = await kept_of(tmp_path, job_id)
    assert set(records) == set(range(1, 31))
