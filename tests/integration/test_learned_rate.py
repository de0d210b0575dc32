"""The rate at which a portal is driven after a push-back: laws of the curve, checked on the scripts themselves."""

import asyncio
import itertools
from collections.abc import Awaitable, Iterator
from typing import TypeVar

import pytest
from arq.connections import ArqRedis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cli.embedded import EmbeddedServer
from jobs.lanes.grants import Batch, Terms, Turn
from jobs.lanes.lease import LaneLedger, reserve_turn
from jobs.lanes.settlement import Settlement
from jobs.store import keys
from jobs.store.connection import connect
from tests.support.clocks import let_pass, tick
from tests.support.lanes import PORTAL, accept, start_lane, terms

T = TypeVar("T")

SLOWEST = 0.1
CLIMB_CALLS, CLIMB_S = 100, 60
CURVE = ("rate_best", "rate_depth", "rate_climbed")

RATES = st.floats(0.01, 1000)
#: A positive number is that many calls, 0 is a push-back.
HISTORIES = st.lists(st.one_of(st.just(0), st.integers(1, 130)), min_size=1, max_size=12)


async def facts(redis: ArqRedis, *names: str) -> list[bytes | None]:
    """Return the values of these fields in the portal's hash."""
    told: list[bytes | None] = await redis.execute_command("HMGET", keys.portal(PORTAL), *names)
    return told


async def forget_the_last_turn(redis: ArqRedis) -> None:
    """Make it look as if there had been no call for a long time."""
    await redis.execute_command("HSET", keys.portal(PORTAL), "tat_us", "0")


async def come_to(redis: ArqRedis, turn: Turn) -> None:
    """Let the time until a turn pass."""
    await tick(redis)
    await let_pass(redis, turn.wait_s + 0.001)


#: Longer than all turns of a history together, at the slowest rate: nobody renews the lease while time passes.
_LEASE_S = 1e7


class Driver:
    """Drives a portal at its learned rate, without really waiting for the turns."""

    def __init__(self, redis: ArqRedis, ceiling: float) -> None:
        self.redis = redis
        self.ceiling = ceiling
        self.limits: Terms = terms(requests_per_second=ceiling, burst=1, max_wait_s=1e9)
        self.seen: list[float] = []

    async def start(self) -> "Driver":
        await self.redis.flushall()
        await accept(self.redis, range(1, 5000))
        self.ledger: LaneLedger = await start_lane(self.redis, ttl_s=_LEASE_S)
        return self

    async def call(self) -> float:
        """Take a turn, and return the rate in force for it."""
        assert isinstance(await reserve_turn(self.redis, PORTAL, self.limits), Turn)
        return await self.rate()

    async def rate(self) -> float:
        [told] = await facts(self.redis, "rate")
        rate = float(told or 0)
        self.seen.append(rate)
        return rate

    async def take(self) -> Batch:
        grant = await self.ledger.next_batch(self.limits)
        if isinstance(grant, Turn):
            await come_to(self.redis, grant)
            grant = await self.ledger.next_batch(self.limits, has_turn=True)
        assert isinstance(grant, Batch)
        return grant

    async def push_back(self) -> float:
        """Let a call be pushed back, and return the rate that the next one would have had."""
        batch = await self.take()
        best, depth, climbed = (float(told) if told else None for told in await facts(self.redis, *CURVE))
        rate = self.ceiling
        if best is not None and depth is not None and climbed is not None:
            rate = min(max(best * (1 + depth * (climbed - 1) ** 3), SLOWEST), self.ceiling)
        await self.settle_pushed_back(self.ledger, batch)
        return rate

    async def settle_pushed_back(self, ledger: LaneLedger, batch: Batch) -> None:
        items = [(item, 0.0) for item in batch.items]
        assert await ledger.settle(batch, Settlement(items=items, slow_down=True))


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    own = asyncio.new_event_loop()
    yield own
    own.close()


@pytest.fixture(scope="module")
def connection(server: EmbeddedServer, loop: asyncio.AbstractEventLoop) -> Iterator[ArqRedis]:
    redis = connect(server.url)
    yield redis
    loop.run_until_complete(redis.aclose(close_connection_pool=True))


LAWS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def run(loop: asyncio.AbstractEventLoop, work: Awaitable[T]) -> T:
    async def awaited() -> T:
        return await work

    return loop.run_until_complete(awaited())


@LAWS
@given(ceiling=RATES, history=HISTORIES)
@example(ceiling=0.01, history=[130, 0])
def test_the_rate_stays_between_its_bounds_and_only_falls_when_pushed_back(
    loop: asyncio.AbstractEventLoop, connection: ArqRedis, ceiling: float, history: list[int]
) -> None:
    async def law() -> None:
        driver = await Driver(connection, ceiling).start()
        for step in history:
            if step == 0:
                before = await driver.push_back()
                cut = await driver.call()
                assert cut < before or before <= SLOWEST * (1 + 1e-9)
                continue
            climb = [await driver.call() for _ in range(step)]
            assert all(later >= earlier for earlier, later in itertools.pairwise(climb))
        lowest = min(SLOWEST, ceiling)
        assert all(lowest * (1 - 1e-9) <= rate <= ceiling * (1 + 1e-9) for rate in driver.seen)

    run(loop, law())


@LAWS
@given(ceiling=st.floats(0.3, 1000), pushed_back=st.integers(1, 6), between=st.integers(0, 120))
def test_after_a_hundred_calls_or_a_minute_the_rate_is_about_where_it_was_cut(
    loop: asyncio.AbstractEventLoop, connection: ArqRedis, ceiling: float, pushed_back: int, between: int
) -> None:
    async def law() -> None:
        driver = await Driver(connection, ceiling).start()
        cut_at = ceiling
        for _ in range(pushed_back):
            for _ in range(between):
                await driver.call()
            cut_at = await driver.call()
            await driver.push_back()
        rate, calls, seconds = 0.0, 0, 0.0
        while calls <= CLIMB_CALLS and seconds <= CLIMB_S:
            rate = await driver.call()
            calls, seconds = calls + 1, seconds + 1 / rate
        assert rate >= cut_at * 0.97 or rate >= ceiling

    run(loop, law())


@LAWS
@given(ceiling=st.floats(0.3, 1000), pushed_back=st.integers(1, 12))
def test_a_portal_that_takes_everything_again_is_driven_at_the_ceiling_again(
    loop: asyncio.AbstractEventLoop, connection: ArqRedis, ceiling: float, pushed_back: int
) -> None:
    async def law() -> None:
        driver = await Driver(connection, ceiling).start()
        for _ in range(pushed_back):
            await driver.push_back()
        seconds = 0.0
        while await driver.call() < ceiling:
            seconds += 1 / driver.seen[-1]
            # From the slowest rate to the highest ceiling: the cube of this many times the climb.
            assert seconds < 40 * CLIMB_S
        assert await facts(connection, "rate_best", "rate_climbed") == [None, None]

    run(loop, law())


async def test_calls_that_were_under_way_together_are_one_push_back(redis: ArqRedis) -> None:
    driver = await Driver(redis, 100.0).start()
    other = await start_lane(redis, "other")
    held = [await driver.take()]
    grant = await other.next_batch(driver.limits)
    if isinstance(grant, Turn):
        await come_to(redis, grant)
        grant = await other.next_batch(driver.limits, has_turn=True)
    assert isinstance(grant, Batch)
    await driver.settle_pushed_back(driver.ledger, held[0])
    cut = await facts(driver.redis, "rate_best", "rate_depth")
    await driver.settle_pushed_back(other, grant)
    assert await facts(driver.redis, "rate_best", "rate_depth") == cut
    await driver.push_back()
    assert await facts(driver.redis, "rate_best", "rate_depth") != cut


async def test_a_quiet_night_does_not_make_the_portal_a_stranger(redis: ArqRedis) -> None:
    driver = await Driver(redis, 100.0).start()
    await driver.push_back()
    cut = await driver.call()
    await forget_the_last_turn(redis)
    assert await driver.call() == pytest.approx(cut, rel=0.05)


async def test_a_turn_that_comes_much_too_late_is_not_used(redis: ArqRedis) -> None:
    """Otherwise the lanes of a frozen Redis would all call at the same time when it resumes."""
    await accept(redis, range(1, 1000))
    limits = terms(requests_per_second=0.5, burst=1)
    await reserve_turn(redis, PORTAL, limits)
    lanes = [await start_lane(redis, str(number)) for number in range(3)]
    for lane in lanes:
        assert isinstance(await lane.next_batch(limits), Turn)
        lane._turn = lane._turn[0] - 60_000_000, lane._turn[1]  # what the script would see a minute later
    await forget_the_last_turn(redis)
    grants = [await lane.next_batch(limits, has_turn=True) for lane in lanes]
    assert isinstance(grants[0], Batch)
    assert [type(grant) for grant in grants[1:]] == [Turn, Turn]


async def test_turns_that_were_given_before_a_cut_are_not_used_after_it(redis: ArqRedis) -> None:
    driver = await Driver(redis, 1.0).start()
    batch = await driver.take()
    waiting = await start_lane(redis, "waiting")
    assert isinstance(await waiting.next_batch(driver.limits), Turn)
    await driver.settle_pushed_back(driver.ledger, batch)
    grant = await waiting.next_batch(driver.limits, has_turn=True)
    assert isinstance(grant, Turn)
    await come_to(redis, grant)
    assert isinstance(await waiting.next_batch(driver.limits, has_turn=True), Batch)
