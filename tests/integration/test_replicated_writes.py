"""What counts only when replicas have it: claims, renewals of leases, submissions, approvals and control actions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr
from pyroaring import BitMap
from structlog.testing import capture_logs

import simulator
from bench.moving_address import MovingAddress, moving_address
from bench.sentinels import SentinelGroup, Server, sentinel_group
from cli.embedded import EmbeddedServer
from config.redis_url import RedisUrl
from config.settings import Portal, RedisConfig, Settings, WorkerConfig
from jobs.accept.submit import CREATE_JOB, submit
from jobs.lanes import presence
from jobs.lanes.grants import Batch, Lost, Turn
from jobs.lanes.lease import rescue
from jobs.lanes.settlement import Settlement
from jobs.lanes.survey_step import SurveyStep
from jobs.ledger.items import Call
from jobs.store import keys
from jobs.store.connection import connect
from jobs.store.discreet_redis import DiscreetRedis
from jobs.store.replication import NotReplicated, Replication
from jobs.store.scripts import Argument, run_together
from jobs.store.times import since_boot_s
from jobs.view.ended import note_replicated
from jobs.view.job import list_jobs, read_job
from jobs.view.why import Why, explain
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import Behaviour, World
from tests.support.clocks import let_pass
from tests.support.lanes import PORTAL, accept, answer, ids_of, read_items, start_lane, take, terms
from tests.support.planning import plan_of_list
from tests.support.steering import control
from tests.support.submitting import request
from tests.support.sweeping import EAGER, MARKS, check_against_truth, ended, portal_settings
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS

#: How long a replica that is well is waited for: far more than it needs, also on a busy machine.
_PATIENCE_S = 20.0
#: How long one that is not is waited for.
_IMPATIENCE_S = 0.3


@pytest.fixture
async def group() -> AsyncIterator[SentinelGroup]:
    async with sentinel_group(replicas=1, sentinels=1, down_after_ms=60_000) as group:
        yield group


@pytest.fixture
async def client(group: SentinelGroup) -> AsyncIterator[ArqRedis]:
    redis = _connect(_url(group))
    yield redis
    await redis.aclose(close_connection_pool=True)


def _url(group: SentinelGroup) -> str:
    return f"redis://127.0.0.1:{group.primary.port}/0"


def _connect(url: str, min_replicas: int = 1) -> ArqRedis:
    """Return a client that waits patiently for replicas."""
    redis = connect(RedisUrl(url), stall_s=3 * _PATIENCE_S)
    assert isinstance(redis, DiscreetRedis)
    redis.replication = Replication(min_replicas, _PATIENCE_S)
    return redis


@contextlib.contextmanager
def _impatient(client: ArqRedis) -> Iterator[None]:
    """Let a client wait only for a moment for replicas that do not come."""
    assert isinstance(client, DiscreetRedis)
    patient = client.replication
    client.replication = replace(patient, timeout_s=_IMPATIENCE_S)
    try:
        yield
    finally:
        client.replication = patient


@contextlib.contextmanager
def _frozen(server: Server) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.resume()


async def test_a_batch_says_whether_replicas_have_its_claim(client: ArqRedis, group: SentinelGroup) -> None:
    await accept(client, range(1, 41))
    lane = await start_lane(client)
    assert (await take(lane)).is_replicated
    with _frozen(group.replicas[0]), _impatient(client):
        assert not (await take(lane)).is_replicated


async def test_a_replica_that_is_never_promoted_can_be_the_one_that_has_a_claim() -> None:
    """That is why all replicas have to be counted."""
    async with sentinel_group(replicas=2, sentinels=1, down_after_ms=60_000) as group:
        backup, other = group.replicas
        async with backup.client() as server:
            await server.config_set("replica-priority", 0)
        for min_replicas, is_replicated in ((1, True), (2, False)):
            redis = _connect(_url(group), min_replicas)
            await accept(redis, range(1, 11))
            lane = await start_lane(redis, f"lane {min_replicas}")
            with _frozen(other), contextlib.nullcontext() if is_replicated else _impatient(redis):
                assert (await take(lane)).is_replicated is is_replicated
            await redis.aclose(close_connection_pool=True)


async def test_a_lane_believes_only_in_renewals_that_replicas_have(client: ArqRedis, group: SentinelGroup) -> None:
    await accept(client, range(1, 11))
    lane = await start_lane(client, ttl_s=60.0)
    with _frozen(group.replicas[0]), _impatient(client):
        assert await lane.renew()
        await take(lane)
        assert lane.since_renewal_s() > 2 * _IMPATIENCE_S
    asked_s = since_boot_s()
    assert await lane.renew()
    assert lane.since_renewal_s() <= since_boot_s() - asked_s


async def test_a_renewal_that_changes_nothing_is_believed_only_if_replicas_have_the_one_before(
    client: ArqRedis, group: SentinelGroup
) -> None:
    lane = await start_lane(client, ttl_s=60.0)
    await client.execute_command("HINCRBY", keys.CLOCK, "wall_us", -60_000_000)  # nobody ticks: the clock stands still
    with _frozen(group.replicas[0]), _impatient(client):
        assert await lane.renew()
        await client.connection_pool.disconnect()
        assert await lane.renew()  # over a connection that has written nothing before
        assert lane.since_renewal_s() > 2 * _IMPATIENCE_S


async def test_nothing_is_answered_as_done_that_a_fail_over_could_undo(client: ArqRedis, group: SentinelGroup) -> None:
    job_id = await accept(client, range(1, 11), needs_approval=True)
    submission = request(portal=PORTAL, ids=BitMap([1]), job_id="again", lanes=0)
    with _frozen(group.replicas[0]), _impatient(client):
        with pytest.raises(NotReplicated, match="fewer than 1 replicas"):
            await control(client, job_id, Event.APPROVE, by="Ada")
        with pytest.raises(NotReplicated):
            await submit(client, submission)
    # Both were done; whoever asks again learns so.
    assert (await read_job(client, job_id)).state is State.QUEUED
    assert not (await submit(client, submission)).created


async def test_why_says_that_replicas_are_missing(client: ArqRedis, group: SentinelGroup) -> None:
    main = Portal(name=PORTAL, url="http://127.0.0.1:1", token=SecretStr("t"))
    settings = Settings(portals={PORTAL: main})
    job_id = await accept(client, range(1, 11))
    await presence.beat(client, "worker", [PORTAL])
    assert (await explain(client, settings, job_id)).constraint != "replicas"
    with _frozen(group.replicas[0]), _impatient(client):

        async def is_told() -> Why | None:
            told = await explain(client, settings, job_id)
            return told if told.constraint == "replicas" else None

        told = await until(is_told)
    assert "1 connected replica, of which 1 silent, but redis.min_replicas is 1: nothing is sent" in told.explanation


async def test_what_another_connection_has_written_is_waited_for_as_well(
    client: ArqRedis, group: SentinelGroup
) -> None:
    await client.execute_command("HSET", "staged", "0", BitMap([1]).serialize())
    call_keys = [keys.job("one"), "staged", keys.portal(PORTAL), keys.JOBS]
    arguments: list[Argument] = [
        "one",
        "digest",
        "queued",
        "",
        "",
        "",
        "",
        "",
        "",
        "{}",
        "portal",
        PORTAL,
        "total",
        1,
        "stride",
        1,
    ]
    with _frozen(group.replicas[0]), _impatient(client):
        # The reply is lost with its connection, and the script runs again on another one, with nothing left to do.
        await run_together(client, [(CREATE_JOB, call_keys, arguments)])
        await client.connection_pool.disconnect()
        with pytest.raises(NotReplicated):
            await CREATE_JOB(client, call_keys, arguments)
    assert await CREATE_JOB(client, call_keys, arguments) == [b"created", b"queued"]


async def test_a_single_server_is_not_asked_for_replicas(redis: ArqRedis) -> None:
    await accept(redis, range(1, 11))
    assert (await take(await start_lane(redis))).is_replicated
    assert not await redis.exists(keys.REPLICATED)


async def test_a_job_is_shown_as_ended_once_replicas_know_of_it(client: ArqRedis, group: SentinelGroup) -> None:
    job_id = await accept(client, range(1, 6))
    cancelled = await accept(client, range(1, 11))
    lane = await start_lane(client)
    batch = await take(lane)
    with _frozen(group.replicas[0]), _impatient(client):
        await answer(client, lane, batch)
        job = await read_job(client, job_id)
        assert (job.state, job.finished_at, job.counts[Outcome.DELETED]) == (State.RUNNING, None, 5)
        with pytest.raises(NotReplicated):
            await control(client, cancelled, Event.CANCEL, by="Ada")
        assert (await read_job(client, cancelled)).state is State.CANCELLING
    assert (await read_job(client, job_id)).state is State.COMPLETED
    assert [job.state for job in (await list_jobs(client)).jobs] == [State.CANCELLED, State.COMPLETED]


async def test_until_replicas_know_of_its_end_a_job_is_shown_as_it_was_before(
    client: ArqRedis, group: SentinelGroup
) -> None:
    planned = await plan_of_list(client, [1, 2])
    lane = await start_lane(client)
    step = await take(lane)
    paused = await accept(client, range(1, 6))
    other = await start_lane(client, "other")
    batch = await take(other)
    await control(client, paused, Event.PAUSE, by="Ada")
    with _frozen(group.replicas[0]), _impatient(client):
        assert await lane.settle(step, Settlement(survey=SurveyStep(event=Event.CANNOT_PLAN), last_error="too many"))
        await answer(client, other, batch)
        assert (await read_job(client, planned)).state is State.PLANNING
        assert (await read_job(client, paused)).state is State.PAUSING
    assert (await read_job(client, planned)).state is State.FAILED
    assert (await read_job(client, paused)).state is State.COMPLETED


async def test_an_end_that_was_shown_stays_when_a_replica_goes_away(client: ArqRedis, group: SentinelGroup) -> None:
    seen, unseen = await accept(client, range(1, 6)), await accept(client, range(6, 11))
    lane = await start_lane(client)
    await answer(client, lane, await take(lane))
    await answer(client, lane, await take(lane))
    assert (await read_job(client, seen)).state is State.COMPLETED
    with _frozen(group.replicas[0]), _impatient(client):
        assert (await read_job(client, seen)).state is State.COMPLETED
        assert (await read_job(client, unseen)).state is State.RUNNING
        # As if it had been retried, and ended again.
        await client.execute_command("HINCRBY", keys.job(seen), "finished_ms", 1)
        assert (await read_job(client, seen)).state is State.RUNNING


async def test_a_job_can_be_read_while_the_server_refuses_writes_for_want_of_replicas(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    wanting = _connect(server.url.get_secret_value())
    job_id = await accept(redis, range(1, 6))
    lane = await start_lane(redis)
    await answer(redis, lane, await take(lane))
    await redis.config_set("min-replicas-to-write", 1)  # and there is none
    try:
        with _impatient(wanting):
            assert (await read_job(wanting, job_id)).state is State.RUNNING
            await note_replicated(wanting)
    finally:
        await redis.config_set("min-replicas-to-write", 0)
    assert not await redis.exists(keys.REPLICATED_UNTIL)
    await wanting.aclose(close_connection_pool=True)


async def test_an_end_that_replicas_do_not_know_is_not_shown_however_long_they_are_away(
    client: ArqRedis, group: SentinelGroup
) -> None:
    job_id = await accept(client, range(1, 6))
    lane = await start_lane(client)
    batch = await take(lane)
    await note_replicated(client)
    with _frozen(group.replicas[0]), _impatient(client):
        await answer(client, lane, batch)
        await note_replicated(client)
        await client.execute_command("HINCRBY", keys.job(job_id), "finished_ms", -400_000)
        await client.execute_command("DECRBY", keys.REPLICATED_UNTIL, 400_000)
        assert (await read_job(client, job_id)).state is State.RUNNING
    await note_replicated(client)
    with _frozen(group.replicas[0]):
        assert (await read_job(client, job_id)).state is State.COMPLETED


async def test_what_ended_long_ago_is_not_asked_about(client: ArqRedis, group: SentinelGroup) -> None:
    job_id = await accept(client, range(1, 6))
    lane = await start_lane(client)
    await answer(client, lane, await take(lane))
    await client.execute_command("HINCRBY", keys.job(job_id), "finished_ms", -301_000)
    with _frozen(group.replicas[0]), _impatient(client):
        assert (await read_job(client, job_id)).state is State.COMPLETED


@pytest.fixture
async def address() -> AsyncIterator[MovingAddress]:
    async with moving_address() as address:
        yield address


async def test_a_batch_whose_settlement_was_lost_is_not_sent_again_as_if_it_were_new(address: MovingAddress) -> None:
    redis = _connect(address.url)
    job_id = await accept(redis, range(1, 21))
    lane = await start_lane(redis)
    batch = await take(lane)
    assert batch.is_replicated
    sent = (await ids_of(redis, batch))[0]

    async with address.losing_what_follows():
        with _impatient(redis):
            await answer(redis, lane, batch)
            unsafe = await take(lane)
            assert not unsafe.is_replicated
            await answer(redis, lane, unsafe)  # so that the lane asks for the place of its first batch again

    assert isinstance(await lane.next_batch(terms()), Lost)
    [rescued] = await rescue(redis, PORTAL, 0.0)
    assert (rescued.call, rescued.size) == (Call.PUT, len(sent))
    assert all(item.doubtful for item in await read_items(redis, job_id))
    after = await start_lane(redis, "after")
    look_up = await take(after)
    assert look_up.call is Call.LOOK_UP
    assert await ids_of(redis, look_up) == [sent]
    await answer(redis, after, look_up)
    assert (await read_job(redis, job_id)).counts[Outcome.PRESUMED_DELETED] == len(sent)
    await redis.aclose(close_connection_pool=True)


async def test_a_turn_that_was_lost_is_not_taken_by_two_lanes(address: MovingAddress) -> None:
    redis, slowly = _connect(address.url), terms(requests_per_second=0.05, burst=1)
    await accept(redis, range(1, 41))
    first, early, late = [await start_lane(redis, name) for name in ("first", "early", "late")]
    assert (await take(first, slowly)).is_replicated
    async with address.losing_what_follows():
        with _impatient(redis):
            assert isinstance(await early.next_batch(slowly), Turn)
    again = await late.next_batch(slowly)
    assert isinstance(again, Turn)
    await let_pass(redis, again.wait_s + 0.01)
    assert isinstance(await late.next_batch(slowly, has_turn=True), Batch)
    assert isinstance(await early.next_batch(slowly, has_turn=True), Turn)
    await redis.aclose(close_connection_pool=True)


async def test_an_end_that_a_fail_over_undoes_was_never_shown(address: MovingAddress) -> None:
    redis = _connect(address.url)
    job_id = await accept(redis, range(1, 6))
    lane = await start_lane(redis)
    batch = await take(lane)
    async with address.losing_what_follows():
        with _impatient(redis):
            await answer(redis, lane, batch)
            assert (await read_job(redis, job_id)).state is State.RUNNING
    assert (await read_job(redis, job_id)).state is State.RUNNING
    await redis.aclose(close_connection_pool=True)


async def test_a_request_whose_reply_was_lost_gets_the_same_batch_again(redis: ArqRedis) -> None:
    await accept(redis, range(1, 41))
    lane = await start_lane(redis)
    call = lane._next_call(terms(), has_turn=False)
    first, again = await run_together(redis, [call, call])
    assert first[:3] == again[:3]
    assert first[14:] == again[14:]


async def test_workers_send_nothing_while_replicas_lag_and_go_on_when_they_are_back(group: SentinelGroup) -> None:
    async with simulator.running(World(2000), Behaviour(base_ms=20)) as portal:
        main = portal_settings(portal, batch_size_max=50, max_concurrency=3)
        settings = Settings(
            redis=RedisConfig(url=RedisUrl(_url(group)), min_replicas=1, replica_timeout_s=0.2),
            portals={"main": main},
            worker=WorkerConfig(**EAGER),
        )
        with capture_logs() as logs:
            async with working(settings) as fleet:
                job_id = await accept(fleet.redis, range(1, 2001))
                await portal.truth.until(lambda: len(portal.truth.deleted) > 300, 30)
                with _frozen(group.replicas[0]):
                    sent = len(portal.truth.deleted)

                    async def nothing_was_sent() -> bool:
                        return [entry["event"] for entry in logs].count("claim_not_replicated") >= 5

                    assert await until(nothing_was_sent)
                    # What was in flight, and what had been claimed by then.
                    most = 2 * main.max_concurrency * main.batch_size_max
                    assert sent <= len(portal.truth.deleted) <= sent + most < 2000
                job = await ended(fleet.redis, job_id)
                await check_against_truth(fleet.redis, portal, job_id)
        assert job.counts[Outcome.DELETED] == 2000


async def test_a_batch_is_recorded_once_the_server_has_enough_replicas_again(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    lane = await start_lane(redis)
    batch = await take(lane)
    await redis.config_set("min-replicas-to-write", 1)  # and there is none
    try:
        recording = asyncio.create_task(answer(redis, lane, batch))

        async def is_refused() -> bool:
            return bool((await redis.info("errorstats")).get("errorstat_NOREPLICAS"))

        assert await until(is_refused)
        assert not recording.done()
    finally:
        await redis.config_set("min-replicas-to-write", 0)
    await recording
    assert (await read_job(redis, job_id)).counts[Outcome.DELETED] == 10
