"""A fail-over of Redis behind an address that keeps connections to the old primary: everything goes on."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis

import simulator
from bench.moving_address import MovingAddress, moving_address
from config.redis_url import RedisUrl
from config.settings import RedisConfig, Settings, WorkerConfig
from jobs.store.connection import connect
from jobs.store.primary import ROLE_EVERY_S
from jobs.words.states import State
from simulator import Behaviour, World
from tests.support.sweeping import EAGER, MARKS, accept, check_against_truth, ended, portal_settings
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS


@pytest.fixture
async def address() -> AsyncIterator[MovingAddress]:
    async with moving_address() as address:
        yield address


@pytest.fixture
async def client(address: MovingAddress) -> AsyncIterator[ArqRedis]:
    redis = connect(RedisUrl(address.url))
    yield redis
    await redis.aclose(close_connection_pool=True)


async def test_a_worker_goes_on_and_the_ledger_is_true(client: ArqRedis, address: MovingAddress) -> None:
    async with simulator.running(World(3100, read_only=30), Behaviour(base_ms=100)) as portal:
        settings = Settings(
            redis=RedisConfig(url=RedisUrl(address.url)),
            portals={"main": portal_settings(portal)},
            worker=WorkerConfig(**EAGER),
        )
        async with working(settings):
            job_id = await accept(client, range(1, 3001))
            await portal.truth.until(lambda: len(portal.truth.deleted) > 500, 30)
            await address.fail_over()
            later = await accept(client, range(3001, 3101))
            assert (await ended(client, job_id)).state is State.COMPLETED
            assert (await ended(client, later)).state is State.COMPLETED
        await check_against_truth(client, portal, job_id, later)


async def test_all_connections_leave_when_one_is_refused(client: ArqRedis, address: MovingAddress) -> None:
    await asyncio.gather(*(client.ping() for _ in range(5)))
    await address.fail_over()
    await client.set("key", "value")
    assert await asyncio.gather(*(client.get("key") for _ in range(5))) == [b"value"] * 5
    assert {(await client.info("replication"))["role"] for _ in range(5)} == {"master"}


async def test_a_process_that_only_reads_notices_as_well(client: ArqRedis, address: MovingAddress) -> None:
    await client.get("key")
    await address.fail_over()

    async def reads_from_the_primary() -> bool:
        return bool((await client.info("replication"))["role"] == "master")

    assert await until(reads_from_the_primary, timeout_s=5 * ROLE_EVERY_S)
