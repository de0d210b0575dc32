"""A worker says that it is alive, and logs it if Redis does not hear."""

import asyncio
import io

import pytest

from cli.embedded import EmbeddedServer
from config.settings import Settings
from jobs.lanes import presence
from jobs.store.connection import connect
from tests.support.waiting import until
from worker.fleet import Fleet


async def test_a_worker_logs_that_redis_is_away_long_before_it_gives_up(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setattr(presence, "BEAT_S", 0.05)
    settings = Settings.model_validate({"redis": {"url": server.url.get_secret_value()}, "portals": {}})
    redis, fleet = connect(server.url), Fleet.start(settings)
    try:

        async def is_seen() -> bool:
            return await presence.is_anybody_there(redis)

        await until(is_seen, timeout_s=20)
        assert "redis_away" not in log.getvalue()

        async def unheard(*_arguments: object) -> None:
            await asyncio.Event().wait()  # for as long as a patient connection tries

        with monkeypatch.context() as away:
            away.setattr(presence, "beat", unheard)

            async def is_told() -> bool:
                return "redis_away" in log.getvalue()

            await until(is_told, timeout_s=20)
    finally:
        await fleet.close()
        await redis.aclose(close_connection_pool=True)
