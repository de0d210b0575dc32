"""Races around the ledger that no other test stages: each was, or could have been, a way for it to be wrong."""

from typing import Any

from arq.connections import ArqRedis

from cli.embedded import EmbeddedServer
from config.settings import Settings, WorkerConfig
from jobs.view import read_job
from tests.conftest import settings_for
from tests.integration.lanes import accept, lapse, start_lane, take
from tests.integration.raw_portal import RawPortal
from tests.integration.sweeping import EAGER, MARKS

pytestmark = MARKS


def settings_of(server: EmbeddedServer, portal: RawPortal, **others: Any) -> Settings:
    limits = {"requests_per_second": 1000.0, "burst": 100, "backoff_base_s": 0.02, "backoff_max_s": 0.2, **others}
    return settings_for(server, portal.config(**limits), worker=WorkerConfig(**EAGER))


async def test_a_job_whose_only_worker_was_killed_says_so(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    await take(await start_lane(redis))
    assert (await read_job(redis, job_id)).state_reason is None
    await lapse(redis, "lane")
    assert (await read_job(redis, job_id)).state_reason == "no_worker"
