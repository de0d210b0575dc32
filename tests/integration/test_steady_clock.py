"""The steady clock: how it goes, that all who read it agree, and what is measured on it."""

from itertools import pairwise

import pytest
from arq.connections import ArqRedis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.embedded import EmbeddedServer
from jobs.lanes import presence
from jobs.lanes.grants import Batch, Idle
from jobs.lanes.lease import LaneLedger, rescue, reserve_turn
from jobs.lanes.settlement import NewRest, Settlement
from jobs.ledger.items import Call
from jobs.store import keys
from jobs.store.clock import LONGEST_TICK_S, Clocks, read_clocks, ticking
from jobs.store.connection import connect
from jobs.store.kept import LONGEST_TICK_MS
from jobs.store.times import unix_s
from jobs.view.history import read_history
from jobs.view.job import read_job
from jobs.words.reasons import StateReason
from tests.support.clocks import jump, let_pass, tick
from tests.support.lanes import PORTAL, accept, lose, start_lane, take, terms
from tests.support.waiting import until
from web.page.chart import plots
from worker.token_store import LOCK_TTL_S, RedisTokenStore

MINUTES_S = 300.0
both_ways = pytest.mark.parametrize("by_s", [MINUTES_S, -MINUTES_S], ids=["ahead", "back"])

#: Longest time that a test may take between two of its lines.
SLACK_MS = 3000

JUMPS_S = st.one_of(st.sampled_from([0.0, 0.4, -0.4, 300.0, -300.0]), st.floats(-1e6, 1e6))


async def steady_ms(redis: ArqRedis) -> int:
    return (await read_clocks(redis)).steady_ms


async def ticked_ms(redis: ArqRedis) -> int:
    """Return what it showed at the last tick."""
    return int(await redis.execute_command("HGET", keys.CLOCK, "steady_us")) // 1000


async def test_before_the_first_tick_it_is_the_servers_clock(redis: ArqRedis) -> None:
    clocks = await read_clocks(redis)
    assert clocks.steady_ms == clocks.presence_ms == clocks.wall_ms
    await tick(redis)
    clocks = await read_clocks(redis)
    assert 0 <= clocks.wall_ms - clocks.steady_ms < SLACK_MS


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(JUMPS_S, st.booleans()), max_size=8))
async def test_no_jump_moves_it_back_or_far(server: EmbeddedServer, steps: list[tuple[float, bool]]) -> None:
    redis = connect(server.url)
    await redis.flushall()
    await tick(redis)
    ticked = await ticked_ms(redis)
    for jump_s, ticks in steps:
        await jump(redis, jump_s)
        assert ticked <= await steady_ms(redis) <= ticked + LONGEST_TICK_MS
        if ticks:
            await tick(redis)
            before, ticked = ticked, await ticked_ms(redis)
            assert before <= ticked <= before + LONGEST_TICK_MS
    await redis.aclose(close_connection_pool=True)


@pytest.mark.parametrize("asleep", [False, True])
@pytest.mark.parametrize("by_s", [0.0, 0.3, 7.0, MINUTES_S, -0.3, -MINUTES_S])
async def test_scripts_and_python_read_the_same(redis: ArqRedis, by_s: float, asleep: bool) -> None:
    await tick(redis)
    await let_pass(redis, -1234.0)
    await jump(redis, by_s)
    if asleep:
        await redis.execute_command("HSET", keys.CLOCK, "asleep", 1)
    before = await steady_ms(redis)
    assert await LaneLedger(redis, PORTAL, "lane", 600.0).acquire(1)
    lapses_ms = await redis.zscore(keys.leases(PORTAL), "lane")
    assert lapses_ms is not None
    assert before <= lapses_ms - 600_000 <= await steady_ms(redis)


@both_ways
async def test_a_lease_outlasts_a_jump(redis: ArqRedis, by_s: float) -> None:
    await tick(redis)
    await accept(redis, range(1, 11))
    lane = await start_lane(redis, ttl_s=30.0)
    batch = await take(lane)
    await jump(redis, by_s)
    await tick(redis)
    assert await rescue(redis, PORTAL, 0.0) == []
    assert await lane.renew()
    await lose(redis, lane, batch)


async def test_a_lane_stops_relying_on_its_lease_before_a_jump_can_end_it(redis: ArqRedis) -> None:
    lane = await start_lane(redis, ttl_s=LONGEST_TICK_S + 5)
    assert lane.holds_lease
    assert not (await start_lane(redis, "other", ttl_s=LONGEST_TICK_S)).holds_lease


async def test_a_lease_that_was_rescued_cannot_be_revived_even_if_the_clock_goes_back(redis: ArqRedis) -> None:
    await tick(redis)
    await accept(redis, range(1, 11))
    lane = await start_lane(redis, ttl_s=10.0)
    await take(lane)
    await let_pass(redis, 10.0)
    assert len(await rescue(redis, PORTAL, 0.0)) == 1
    await let_pass(redis, -10.0)  # as when the new primary lacks the last ticks
    assert not await lane.renew()


@both_ways
async def test_a_rest_and_what_is_due_keep_their_distance(redis: ArqRedis, by_s: float) -> None:
    await tick(redis)
    job_id = await accept(redis, range(1, 11))
    lane = await start_lane(redis)
    batch = await take(lane)
    settlement = Settlement(items=[(batch.items[0], 60.0)], rest=NewRest(60, StateReason.PUSH_BACK, asked_s=90))
    assert await lane.settle(batch, settlement)
    await presence.beat(redis, "worker", [PORTAL])
    await jump(redis, by_s)
    await tick(redis)
    grant = await lane.next_batch(terms())
    assert isinstance(grant, Idle)
    assert grant.wait_s is not None
    assert 55 < grant.wait_s < 61
    job = await read_job(redis, job_id)
    assert job.state_reason == StateReason.PUSH_BACK
    again = await reserve_turn(redis, PORTAL, terms())
    assert 55 < again.wait_s < 61


async def test_a_look_up_comes_when_it_is_due_however_the_clock_was_set_meanwhile(redis: ArqRedis) -> None:
    await tick(redis)
    await accept(redis, range(1, 11))
    lane = await start_lane(redis)
    await lane.next_batch(terms())
    await redis.zrem(keys.leases(PORTAL), "lane")
    assert len(await rescue(redis, PORTAL, 5.0)) == 1
    await jump(redis, -MINUTES_S)
    await tick(redis)
    other = await start_lane(redis, "other")
    assert isinstance(await other.next_batch(terms()), Idle)
    await let_pass(redis, 5.1)
    await other.acquire(10)
    grant = await other.next_batch(terms())
    assert isinstance(grant, Batch)
    assert grant.call is Call.LOOK_UP


@both_ways
async def test_a_worker_stays_alive_through_a_jump(redis: ArqRedis, by_s: float) -> None:
    await tick(redis)
    await presence.beat(redis, "worker", [PORTAL], {PORTAL: "one"})
    await jump(redis, by_s)
    await tick(redis)
    assert await presence.is_anybody_there(redis)


@both_ways
async def test_a_worker_that_died_is_gone_although_nothing_moves_the_clock(redis: ArqRedis, by_s: float) -> None:
    """The steady clock stands still without workers; whoever looks takes the server's clock to find that out."""
    await tick(redis)
    await presence.beat(redis, "worker", [PORTAL])
    job_id = await accept(redis, range(1, 11))
    await take(await start_lane(redis, ttl_s=5.0))
    await jump(redis, by_s)
    assert not await presence.is_anybody_there(redis)
    assert (await read_job(redis, job_id)).state_reason == StateReason.NO_WORKER


async def test_it_sleeps_once_the_last_worker_has_left_and_then_counts_the_night(redis: ArqRedis) -> None:
    await tick(redis)
    for worker in ("first", "second"):
        await presence.beat(redis, worker, [PORTAL])
    evening_ms = await steady_ms(redis)
    await presence.leave(redis, "first")
    await jump(redis, 3600)
    assert await steady_ms(redis) - evening_ms < SLACK_MS, "a worker is left, so this was no night"
    await jump(redis, -3600)
    await presence.leave(redis, "second")
    await jump(redis, 36_000)
    assert 36_000_000 <= await steady_ms(redis) - evening_ms < 36_000_000 + SLACK_MS
    await tick(redis)
    assert 36_000_000 <= await steady_ms(redis) - evening_ms < 36_000_000 + SLACK_MS
    await jump(redis, 36_000)
    assert await steady_ms(redis) - evening_ms < 36_000_000 + LONGEST_TICK_MS + SLACK_MS, "it is awake"


async def test_a_command_keeps_it_going_while_no_worker_does(redis: ArqRedis) -> None:
    await tick(redis)
    began_ms = await steady_ms(redis)
    async with ticking(redis):

        async def has_gone_on() -> bool:
            return await steady_ms(redis) - began_ms > 1.3 * LONGEST_TICK_MS

        await until(has_gone_on)
    assert await redis.execute_command("HGET", keys.CLOCK, "asleep") == b"1"


async def test_attempts_to_log_in_are_counted_through_a_jump(redis: ArqRedis) -> None:
    await tick(redis)
    store = RedisTokenStore(redis, PORTAL)
    while not (wait_s := await store.count_attempt(b"%d" % await redis.zcard(keys.login_tries(PORTAL)))):
        pass
    await jump(redis, MINUTES_S)
    await tick(redis)
    assert wait_s - 5 < await store.count_attempt(b"one more") <= wait_s
    assert await redis.pttl(keys.login_tries(PORTAL)) > MINUTES_S * 1000, "the key itself outlasts the jump"


async def test_a_log_in_whose_worker_died_before_the_clock_was_set_back_is_over_soon(redis: ArqRedis) -> None:
    store = RedisTokenStore(redis, PORTAL)
    await redis.set(keys.login(PORTAL), b"dead", px=round((LOCK_TTL_S + MINUTES_S) * 1000))
    assert not await store.begin_login(b"other")
    assert 0 < await redis.pttl(keys.login(PORTAL)) <= LOCK_TTL_S * 1000


@given(wall=st.integers(0, 2**42), steady=st.integers(0, 2**42), ticked=st.integers(0, 2**42), asleep=st.booleans())
def test_what_a_reader_makes_of_any_numbers(wall: int, steady: int, ticked: int, asleep: bool) -> None:
    kept = [b"%d" % (steady * 1000), b"%d" % (ticked * 1000), b"1" if asleep else None]
    clocks = Clocks.take(iter([divmod(wall * 1000, 1_000_000), kept]))
    assert clocks.wall_ms == wall
    assert steady <= clocks.steady_ms <= steady + (max(wall - ticked, 0) if asleep else LONGEST_TICK_MS)
    assert clocks.presence_ms >= clocks.steady_ms
    assert clocks.to_wall(clocks.steady_ms) == wall
    assert clocks.to_wall(clocks.steady_ms + 10) == wall + 10


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(times_ms=st.lists(st.integers(1_700_000_000_000, 1_700_000_100_000), max_size=12))
async def test_the_times_of_a_history_ascend_up_to_the_newest(server: EmbeddedServer, times_ms: list[int]) -> None:
    redis = connect(server.url)
    await redis.flushall()
    for decided, at_ms in enumerate(times_ms):
        await redis.execute_command("RPUSH", keys.history("id"), f"{at_ms} {decided} 5 200")
    history = await read_history(redis, "id")
    times = [unix_s(sample.at) for sample in history]
    assert all(before < after for before, after in pairwise(times))
    assert [sample.decided for sample in history[-1:]] == [len(times_ms) - 1][: len(times_ms)]
    for plot in plots(history):
        assert "-" not in plot.line, "everything is drawn inside the box"
    await redis.aclose(close_connection_pool=True)
