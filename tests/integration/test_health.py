"""What can be asked without a key, and how little that may cost."""

import asyncio

import pytest
from arq.connections import ArqRedis

import web.ops.health
from jobs.store.server_check import check_server
from web.ops.health import Probe


async def test_simultaneous_questions_cost_one_check(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    has_begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(connection: ArqRedis) -> list[str]:
        nonlocal looks
        looks += 1
        has_begun.set()
        await go_on.wait()
        return await check_server(connection)

    monkeypatch.setattr(web.ops.health, "check_server", slow)
    probe = Probe(redis)
    asked = [asyncio.create_task(probe.findings()) for _ in range(50)]
    async with asyncio.timeout(20):
        await has_begun.wait()
        asked[0].cancel()  # a caller that goes away does not take the answer from the others
        go_on.set()
        first, *others = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(first, asyncio.CancelledError)
        assert [found[0].about for found in others if isinstance(found, list)] == ["redis"] * 49
        assert looks == 1
        await probe.findings()
        assert looks == 2, "what was found is not kept"
    await probe.close()
