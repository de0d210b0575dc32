"""Logging in: one token for the whole fleet, nothing readable in Redis, and no locked account."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from arq.connections import ArqRedis

from jobs.store import keys
from tests.support.office import CREDENTIALS, PASSWORD, Office
from tests.support.raw_portal import RawPortal, error, raw_portal
from tests.support.waiting import until
from worker import login, token_store
from worker.portal_answers import Deleted, Failure, Remedy
from worker.portal_client import PortalClient
from worker.token_store import MAX_ATTEMPTS, LocalTokenStore, RedisTokenStore, TokenStore

TRIES = keys.login_tries("main")


class Fleet:
    """Any number of workers of one portal."""

    def __init__(self, portal: RawPortal, redis: ArqRedis) -> None:
        self.portal = portal
        self.redis = redis
        self.clients: list[PortalClient] = []
        self.turns = 0

    def worker(self, store: TokenStore | None = None, **changed: object) -> PortalClient:
        async def pace() -> None:
            self.turns += 1

        config = self.portal.config(**{**CREDENTIALS, **changed})
        client = PortalClient(config, store or RedisTokenStore(self.redis, "main"), pace)
        self.clients.append(client)
        return client


@asynccontextmanager
async def fleet_of(office: Office, redis: ArqRedis) -> AsyncIterator[Fleet]:
    async with raw_portal(office) as portal:
        fleet = Fleet(portal, redis)
        try:
            yield fleet
        finally:
            for client in fleet.clients:
                await client.close()


@pytest.mark.parametrize(("stale_after_s", "turns"), [(60.0, 1), (0.0, 4)])
async def test_the_first_call_logs_in_and_the_token_serves_all_workers(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch, stale_after_s: float, turns: int
) -> None:
    monkeypatch.setattr("worker.portal_client._STALE_TURN_S", stale_after_s)
    office = Office()
    async with fleet_of(office, redis) as fleet:
        first, second = fleet.worker(), fleet.worker()
        for client in (first, first, second):
            assert isinstance(await client.delete([1]), Deleted)
    assert office.logins == 1
    # One for the log-in, and another one for each call whose own turn has passed since: here, none or all three.
    assert fleet.turns == turns


async def test_workers_that_start_together_log_in_once(redis: ArqRedis) -> None:
    office = Office()
    async with fleet_of(office, redis) as fleet:
        calls = [client.delete([1]) for client in [fleet.worker() for _ in range(5)] for _ in range(3)]
        outcomes = await asyncio.gather(*calls)
    assert all(isinstance(outcome, Deleted) for outcome in outcomes)
    assert office.logins == 1


async def test_nothing_in_redis_gives_a_secret_away(redis: ArqRedis) -> None:
    office = Office()
    async with fleet_of(office, redis) as fleet:
        await fleet.worker().delete([1])
        await fleet.worker(password="wrong one").delete([1])
        stored = b""
        async for key in redis.scan_iter():
            dumped = await redis.dump(key)
            stored += key + (dumped or b"")
    assert keys.token("main").encode() in stored
    for secret in (b"token-1", PASSWORD.encode(), b"wrong one", b"admin@example.com"):
        assert secret not in stored


async def test_the_shared_token_lives_no_longer_than_the_bound(redis: ArqRedis) -> None:
    async with fleet_of(Office(), redis) as fleet:
        await fleet.worker().delete([1])
    assert 0 < await redis.ttl(keys.token("main")) <= login.LONGEST_TTL_S


async def test_a_token_that_dies_in_use_is_renewed_once_and_the_call_sent_again(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.portal_client._STALE_TURN_S", 60.0)
    office = Office()
    async with fleet_of(office, redis) as fleet:
        client = fleet.worker()
        await client.delete([1])
        office.revoked.add("token-1")
        assert isinstance(await client.delete([2]), Deleted)
        bodies = [request.body for request in fleet.portal.requests if request.method == "PUT"]
    assert bodies == [b'{"contactids":[1]}', b'{"contactids":[2]}', b'{"contactids":[2]}']
    assert office.logins == 2
    assert fleet.turns == 3  # two log-ins, and the call that was sent again


async def test_calls_that_lose_their_token_together_share_one_log_in(redis: ArqRedis) -> None:
    office = Office()
    async with fleet_of(office, redis) as fleet:
        clients = [fleet.worker() for _ in range(3)]
        await asyncio.gather(*(client.delete([1]) for client in clients))
        office.revoked.add("token-1")
        outcomes = await asyncio.gather(*(client.delete([2]) for client in clients for _ in range(3)))
    assert all(isinstance(outcome, Deleted) for outcome in outcomes)
    assert office.logins == 2


async def test_a_fresh_token_that_is_refused_too_stops_the_job(redis: ArqRedis) -> None:
    office = Office()
    office.revoked = {"token-1", "token-2"}
    async with fleet_of(office, redis) as fleet:
        failure = await fleet.worker().delete([1])
    assert isinstance(failure, Failure)
    assert (failure.action, failure.reason, failure.may_have_deleted) == (Remedy.STOP, "portal_auth", False)
    assert failure.sent
    assert office.logins == 2


async def test_a_newer_token_survives_the_complaint_about_an_old_one(redis: ArqRedis) -> None:
    store = RedisTokenStore(redis, "main")
    await store.save(b"new", 60)
    await store.forget(b"old")
    assert await store.load() == b"new"
    await store.forget(b"new")
    assert await store.load() is None


async def test_a_wrong_password_is_tried_once_and_a_corrected_one_at_once(redis: ArqRedis) -> None:
    office = Office()
    async with fleet_of(office, redis) as fleet:
        for _ in range(3):
            failure = await fleet.worker(password="wrong").delete([1])
            assert isinstance(failure, Failure)
            assert (failure.action, failure.reason, failure.sent) == (Remedy.STOP, "portal_auth", False)
            assert "password" in failure.message
            assert "wrong" not in failure.message.split()
        assert office.logins == 1
        assert isinstance(await fleet.worker().delete([1]), Deleted)
    assert office.logins == 2
    assert not any(request.method == "PUT" and b"wrong" in request.body for request in fleet.portal.requests)


@pytest.mark.parametrize("factor", ["sms", "tfa"])
async def test_a_second_factor_is_named_and_not_asked_for_again(redis: ArqRedis, factor: str) -> None:
    office = Office()
    office.factor = factor
    async with fleet_of(office, redis) as fleet:
        failures = [await fleet.worker().delete([1]) for _ in range(2)]
    assert all(isinstance(each, Failure) and "second factor" in each.message for each in failures)
    assert office.logins == 1


async def test_a_lock_out_is_named_and_waited_for(redis: ArqRedis) -> None:
    office = Office()
    office.locked = True
    async with fleet_of(office, redis) as fleet:
        client = fleet.worker()
        failures = [await client.delete([1]) for _ in range(2)]
        for failure in failures:
            assert isinstance(failure, Failure)
            assert (failure.action, failure.reason) == (Remedy.STOP, "portal_auth")
            assert "locked" in failure.message
            assert re.search(r"not tried again for ([678]\d|90) s", failure.message)
            assert failure.retry_after_s is None, "corrected credentials would have to wait too"
    assert office.logins == 1


async def test_credentials_are_tried_again_when_their_cool_down_has_passed(redis: ArqRedis) -> None:
    office = Office()
    office.locked = True
    async with fleet_of(office, redis) as fleet:
        client = fleet.worker()
        await client.delete([1])
        async for key in redis.scan_iter("*login_refused*"):
            await redis.delete(key)  # as its time to live would do in the end
        office.locked = False
        assert isinstance(await client.delete([1]), Deleted)


async def test_the_whole_fleet_never_tries_more_often_than_the_portal_bears(redis: ArqRedis) -> None:
    office = Office()
    async with fleet_of(office, redis) as fleet:
        outcomes = [await fleet.worker(password=f"wrong {number}").delete([1]) for number in range(6)]
    assert office.logins == MAX_ATTEMPTS
    last = outcomes[-1]
    assert isinstance(last, Failure)
    assert (last.action, last.reason, last.sent) == (Remedy.WAIT, "login_guard", False)
    assert last.retry_after_s is not None
    assert 0 < last.retry_after_s <= 60


async def test_tokens_that_die_again_and_again_cost_one_log_in_each_and_no_wait(redis: ArqRedis) -> None:
    office = Office()
    async with fleet_of(office, redis) as fleet:
        client = fleet.worker()
        for number in range(1, 3 * MAX_ATTEMPTS):
            assert isinstance(await client.delete([1]), Deleted)
            office.revoked.add(f"token-{number}")
        assert office.logins == 3 * MAX_ATTEMPTS - 1
        # Attempts that do not succeed are counted as always.
        outcomes = [await fleet.worker(password=f"wrong {number}").delete([1]) for number in range(MAX_ATTEMPTS + 1)]
    assert [outcome.action for outcome in outcomes if isinstance(outcome, Failure)] == [
        *[Remedy.STOP] * MAX_ATTEMPTS,
        Remedy.WAIT,
    ]


@pytest.mark.parametrize("factor", [None, "tfa"])
async def test_what_the_portal_gives_back_we_give_back(redis: ArqRedis, factor: str | None) -> None:
    office = Office()
    office.factor = factor
    async with fleet_of(office, redis) as fleet:
        await fleet.worker().delete([1])
    assert office.logins == 1
    assert await redis.zcard(TRIES) == 0


async def test_an_attempt_that_reaches_nobody_does_not_count(redis: ArqRedis) -> None:
    async with fleet_of(Office(), redis) as fleet:
        failure = await fleet.worker(url="http://127.0.0.1:9").delete([1])
    assert isinstance(failure, Failure)
    assert failure.reason == "portal_unreachable"
    assert await redis.zcard(TRIES) == 0


async def test_a_worker_that_is_stopped_while_it_logs_in_leaves_its_attempt_counted(redis: ArqRedis) -> None:
    office = Office()
    office.may_finish.clear()
    async with fleet_of(office, redis) as fleet:
        call = asyncio.create_task(fleet.worker().delete([1]))
        await asyncio.wait_for(office.logging_in.wait(), 10)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await redis.zcard(TRIES) == 1
        office.may_finish.set()
        assert isinstance(await fleet.worker().delete([1]), Deleted)
    assert await redis.zcard(TRIES) == 1, "what is given back is the attempt that succeeded"


async def test_a_token_of_another_worker_that_has_died_unused_is_no_fault(redis: ArqRedis) -> None:
    office = Office()
    async with fleet_of(office, redis) as fleet:
        first, second = fleet.worker(), fleet.worker()
        for client in (first, second):
            assert isinstance(await client.delete([1]), Deleted)
        office.revoked.add("token-1")
        assert isinstance(await first.delete([2]), Deleted)  # logs in; the other one still knows only the first token
        office.revoked.add("token-2")
        assert isinstance(await second.delete([3]), Deleted)
    assert office.logins == 3


async def test_a_worker_does_not_wait_forever_for_another_to_log_in(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "PATIENCE_S", 0.05)
    monkeypatch.setattr(login, "POLL_S", 0.01)
    office = Office()
    assert await RedisTokenStore(redis, "main").begin_login(b"another worker")
    async with fleet_of(office, redis) as fleet:
        failure = await fleet.worker().delete([1])
    assert isinstance(failure, Failure)
    assert (failure.action, failure.reason) == (Remedy.WAIT, "login_guard")
    assert (failure.may_have_deleted, failure.sent) == (False, False)
    assert office.logins == 0


async def test_a_worker_that_died_while_logging_in_keeps_nobody_waiting_for_long(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store, "LOCK_TTL_S", 0.3)
    assert await RedisTokenStore(redis, "main").begin_login(b"a worker that died")
    office = Office()
    async with fleet_of(office, redis) as fleet:
        assert isinstance(await fleet.worker().delete([1]), Deleted)
    assert office.logins == 1


async def test_a_log_in_that_takes_long_keeps_its_turn(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "LOCK_TTL_S", 0.1)  # so that it is renewed often over the usual time
    office = Office()
    office.may_finish.clear()
    async with fleet_of(office, redis) as fleet:
        call = asyncio.create_task(fleet.worker().delete([1]))
        await asyncio.wait_for(office.logging_in.wait(), 10)
        await redis.pexpire(keys.login("main"), 5_000)

        async def is_kept() -> bool:
            return int(await redis.pttl(keys.login("main"))) > 5_000

        await until(is_kept)
        office.may_finish.set()
        assert isinstance(await call, Deleted)


async def test_a_cancelled_log_in_gives_its_turn_back(redis: ArqRedis) -> None:
    office = Office()
    office.may_finish.clear()
    async with fleet_of(office, redis) as fleet:
        call = asyncio.create_task(fleet.worker().delete([1]))
        await asyncio.wait_for(office.logging_in.wait(), 10)
        assert await redis.exists(keys.login("main"))
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert not await redis.exists(keys.login("main"))


async def test_the_turn_of_another_worker_is_not_given_back(redis: ArqRedis) -> None:
    store = RedisTokenStore(redis, "main")
    assert await store.begin_login(b"one")
    assert not await store.begin_login(b"two")
    await store.end_login(b"two")
    assert not await store.begin_login(b"two")
    await store.end_login(b"one")
    assert await store.begin_login(b"two")
    assert 0 < await redis.pttl(keys.login("main")) <= 8_000


async def test_a_portal_that_fails_inside_at_log_in_is_not_a_wrong_password(redis: ArqRedis) -> None:
    script = error(500, "Deadlock found", -2147467259)
    async with raw_portal(script) as portal:
        fleet = Fleet(portal, redis)
        failure = await fleet.worker().delete([1])
        await fleet.clients[0].close()
    assert isinstance(failure, Failure)
    assert (failure.action, failure.reason, failure.may_have_deleted) == (Remedy.RETRY, "portal_error", False)
    assert [key async for key in redis.scan_iter("*login_refused*")] == []


async def test_a_token_sealed_with_another_password_is_not_used(redis: ArqRedis) -> None:
    office = Office()
    async with fleet_of(office, redis) as fleet:
        await fleet.worker().delete([1])
        office.password = "new"
        assert isinstance(await fleet.worker(password="new").delete([1]), Deleted)
    assert office.logins == 2


async def test_a_single_process_can_do_without_redis(redis: ArqRedis) -> None:
    office = Office()
    async with fleet_of(office, redis) as fleet:
        store = LocalTokenStore()
        outcomes = await asyncio.gather(*(fleet.worker(store).delete([1]) for _ in range(3)))
        assert all(isinstance(outcome, Deleted) for outcome in outcomes)
        assert office.logins == 1
        for number in range(4):
            await fleet.worker(store, password=f"wrong {number}").delete([1])
        assert office.logins == 1 + MAX_ATTEMPTS, "the first one succeeded, and does not count"
        office.revoked.add("token-1")
        failure = await fleet.worker(store).delete([1])
        assert isinstance(failure, Failure)
        assert failure.action is Remedy.WAIT
    assert await redis.dbsize() == 0


async def test_neither_the_client_nor_its_failures_show_a_secret(redis: ArqRedis) -> None:
    office = Office()
    office.locked = True
    async with fleet_of(office, redis) as fleet:
        client = fleet.worker()
        shown = f"{await client.delete([1])!r} {client!r} {vars(client)!r}"
    assert PASSWORD not in shown
