"""Both token stores keep the same promises."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from arq.connections import ArqRedis

from jobs.store import keys
from worker import token_store
from worker.token_store import MAX_ATTEMPTS, LocalTokenStore, RedisTokenStore, TokenStore


@pytest.fixture(params=["redis", "local"])
def store(request: pytest.FixtureRequest, redis: ArqRedis) -> TokenStore:
    return RedisTokenStore(redis, "main") if request.param == "redis" else LocalTokenStore()


async def soon(happens: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1000):
        if await happens():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not happen within ten seconds")


async def test_a_token_is_kept_and_only_itself_forgotten(store: TokenStore) -> None:
    assert await store.load() is None
    await store.save(b"one", 60)
    await store.save(b"two", 60)
    await store.forget(b"one")
    assert await store.load() == b"two"
    await store.forget(b"two")
    assert await store.load() is None


async def test_a_token_lapses(store: TokenStore) -> None:
    await store.save(b"one", 0.05)

    async def lapsed() -> bool:
        return await store.load() is None

    await soon(lapsed)


async def test_only_one_has_the_turn_to_log_in(store: TokenStore) -> None:
    assert await store.begin_login(b"one")
    assert not await store.begin_login(b"two")
    await store.end_login(b"two")
    assert not await store.begin_login(b"two")
    await store.end_login(b"one")
    assert await store.begin_login(b"two")


async def test_a_turn_that_has_lapsed_or_is_anothers_is_not_kept(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisTokenStore(redis, "main")
    assert await store.begin_login(b"one")
    monkeypatch.setattr(token_store, "LOCK_TTL_S", 60.0)
    await store.keep_login(b"two")
    assert await redis.pttl(keys.login("main")) <= 8_000
    await store.keep_login(b"one")
    assert await redis.pttl(keys.login("main")) > 50_000
    await store.end_login(b"one")
    await store.keep_login(b"one")
    assert not await redis.exists(keys.login("main"))


async def test_attempts_are_limited_in_a_window_that_slides(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [await store.count_attempt(b"%d" % number) for number in range(MAX_ATTEMPTS)] == [0] * MAX_ATTEMPTS
    wait_s = await store.count_attempt(b"one more")
    assert 0 < wait_s <= token_store.ATTEMPT_WINDOW_S
    monkeypatch.setattr(token_store, "ATTEMPT_WINDOW_S", 0.05)

    async def allowed() -> bool:
        return await store.count_attempt(b"one more") == 0

    await soon(allowed)


async def test_an_attempt_that_succeeds_is_given_back_and_no_other(store: TokenStore) -> None:
    for number in range(MAX_ATTEMPTS - 1):
        assert await store.count_attempt(b"%d" % number) == 0
    for number in range(20):
        assert await store.count_attempt(b"good %d" % number) == 0
        await store.give_back(b"good %d" % number)
        await store.give_back(b"good %d" % number)  # the reply was lost, and the connection sent it again
    assert await store.count_attempt(b"last") == 0
    assert await store.count_attempt(b"too many") > 0
    await store.give_back(b"of a window that is over")
    assert await store.count_attempt(b"too many") > 0


async def test_an_attempt_whose_reply_was_lost_counts_once(store: TokenStore) -> None:
    for _ in range(MAX_ATTEMPTS + 2):
        assert await store.count_attempt(b"the same") == 0
    assert await store.count_attempt(b"another") == 0


async def test_an_attempt_of_a_worker_that_died_counts_until_the_window_has_passed(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store, "ATTEMPT_WINDOW_S", 0.3)
    for number in range(MAX_ATTEMPTS):
        assert await store.count_attempt(b"died %d" % number) == 0
    assert 0 < await store.count_attempt(b"next") <= 0.3

    async def allowed() -> bool:
        return await store.count_attempt(b"next") == 0

    await soon(allowed)


async def test_a_refusal_stands_for_its_own_credentials_and_its_own_time(store: TokenStore) -> None:
    await store.remember_refusal("these", "wrong_password", 60)
    assert await store.recall_refusal("others") is None
    refusal = await store.recall_refusal("these")
    assert refusal is not None
    reason, left_s = refusal
    assert reason == "wrong_password"
    assert 50 < left_s <= 60
    await store.remember_refusal("these", "locked_out", 0.05)

    async def forgiven() -> bool:
        return await store.recall_refusal("these") is None

    await soon(forgiven)
