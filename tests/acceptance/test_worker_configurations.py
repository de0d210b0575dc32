"""Worker processes with different configurations of one portal, and a user who fixes things."""

import asyncio
from collections.abc import Callable

from pyroaring import BitMap

from config.redis_url import RedisUrl
from jobs.store.connection import connect
from jobs.view.job import Job, read_job
from tests.support.home import Home, until
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]


async def read(home: Home, *jobs: str) -> list[Job]:
    """Read jobs as commands show them, without starting a command each time."""
    redis = connect(RedisUrl(home.redis_url))
    try:
        return [await read_job(redis, job_id) for job_id in jobs]
    finally:
        await redis.aclose(close_connection_pool=True)


def standing(home: Home, *jobs: str) -> list[str]:
    """Return all of these jobs, once each is waiting for a user to fix something at the portal."""
    reasons = [job.state_reason for job in asyncio.run(read(home, *jobs))]
    return list(jobs) if all(reason and reason.startswith("portal_") for reason in reasons) else []


def test_a_new_worker_goes_on_with_what_waits_for_the_fault_of_an_old_one(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 300)
    home.configure(main={"url": crm.url, "token": "old", "max_concurrency": 1})
    jobs = [home.submit("main", *range(start, start + 20)) for start in (1, 21, 41, 61)]
    home.start("worker")
    until(lambda: standing(home, *jobs))
    paused = [job_id for job_id in jobs if home.state(job_id) == "paused"]
    waiting = [job_id for job_id in jobs if job_id not in paused]
    assert 1 <= len(paused) <= 2
    assert "replace the portal's token" in home.cli("status", waiting[0]).stdout
    calls = crm.summary()["calls"]
    home.configure(main={"url": crm.url, "max_concurrency": 1})
    home.start("worker")  # the old one still runs
    until(lambda: all(home.state(job_id) == "completed" for job_id in waiting))
    for job_id in paused:
        assert home.state(job_id) == "paused"
        assert home.cli("resume", job_id).code == 0
    until(lambda: all(home.state(job_id) == "completed" for job_id in jobs))
    assert crm.contacts("deleted") == BitMap(range(1, 81))
    assert calls <= 2


def test_a_job_that_only_waits_is_resumed_like_one_that_is_paused(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    crm.change(unpaid="licence")
    home.configure(main={"url": crm.url, "max_concurrency": 1})
    jobs = [home.submit("main", *range(start, start + 20)) for start in (1, 21, 41)]
    home.start("worker")
    until(lambda: standing(home, *jobs))
    waiting = next(job_id for job_id in jobs if home.state(job_id) != "paused")
    said = home.cli("status", waiting).stdout
    assert f"`crm-sweep resume {waiting}`" in said
    assert "renew its licence" in said
    crm.change(unpaid="")
    assert home.cli("resume", waiting).code == 0
    until(lambda: home.state(waiting) == "completed")
    assert home.cli("resume", waiting).code == 2, "it has ended"
