"""A call of a command that is pushed back slows down everything that calls the portal."""

from arq.connections import ArqRedis

from jobs.lanes.grants import Later, Turn
from jobs.lanes.lease import reserve_turn
from jobs.store import keys
from restore.caller import SPARE, read_state
from tests.support.lanes import PORTAL, terms

LIMITS = terms(requests_per_second=100, burst=1, max_wait_s=1)


async def spare(redis: ArqRedis, *, cut: bool = False, rest_s: float = 0, asked_s: float = 0) -> None:
    arguments = [100, int(cut), round(rest_s * 1000), "push_back" if rest_s else "", round(asked_s * 1000)]
    await SPARE(redis, [keys.portal(PORTAL)], arguments)


async def test_each_cut_slows_down_whoever_calls_next(redis: ArqRedis) -> None:
    await reserve_turn(redis, PORTAL, LIMITS)
    rates = []
    for _ in range(3):
        await spare(redis, cut=True)
        assert isinstance(await reserve_turn(redis, PORTAL, LIMITS), Turn)
        rates.append((await read_state(redis, PORTAL)).rate)
    assert all(rate is not None for rate in rates)
    assert 100 > rates[0] > rates[1] > rates[2]  # type: ignore[operator]


async def test_a_rest_holds_every_caller_and_is_never_shortened(redis: ArqRedis) -> None:
    await spare(redis, rest_s=60, asked_s=600)
    await spare(redis, rest_s=1)
    turn = await reserve_turn(redis, PORTAL, LIMITS)
    assert isinstance(turn, Later)
    assert 55 < turn.wait_s <= 60
    rest = (await read_state(redis, PORTAL)).rest
    assert rest
    assert rest.reason == "push_back"
    assert rest.asked_until_ms
    assert rest.asked_until_ms - rest.until_ms > 500_000


async def test_without_a_cut_or_a_rest_nothing_changes_but_the_count(redis: ArqRedis) -> None:
    await spare(redis)
    state = await read_state(redis, PORTAL)
    assert not state.rest
    assert not state.has_learned
