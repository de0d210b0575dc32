"""A job through a proxy that misbehaves: whatever the proxy answers itself, the ledger tells the truth."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from arq.connections import ArqRedis

import simulator
from bench.forwarder import forwarding
from cli.embedded import EmbeddedServer
from jobs.view.job import read_job
from jobs.words.outcomes import Outcome
from jobs.words.states import Event, State
from simulator import World
from tests.support.authority import Authority
from tests.support.forward_proxy import forward_proxy
from tests.support.steering import control
from tests.support.sweeping import MARKS, accept, check_against_truth, ended, in_state, settings_of
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS

TOTAL = 1000


async def told(redis: ArqRedis, job_id: str, words: str) -> bool:
    """Check whether a job's last error begins with these words."""
    return ((await read_job(redis, job_id)).last_error or "").startswith(words)


@pytest.mark.parametrize("status", [502, 503])
async def test_what_the_proxy_kept_to_itself_is_looked_up(redis: ArqRedis, server: EmbeddedServer, status: int) -> None:
    """An empty 503 of the portal itself would mean that nothing was deleted."""
    async with simulator.running(World(TOTAL, missing=20)) as portal, forward_proxy() as proxy:
        proxy.swallows, proxy.swallowed, proxy.page = status, frozenset({2, 5, 11}), b""
        job_id = await accept(redis, range(1, TOTAL + 1))
        async with working(settings_of(server, portal, proxy=proxy.url)):
            job = await ended(redis, job_id)
        assert job.state is State.COMPLETED
        found = await check_against_truth(redis, portal, job_id)
    assert len(proxy.asked) > 11
    assert found[Outcome.PRESUMED_DELETED]
    assert not found[Outcome.FAILED]


async def test_a_proxy_that_opens_no_tunnels_for_a_while_costs_no_contact(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    async with simulator.running(World(TOTAL)) as portal, forward_proxy() as proxy:
        behind = urlsplit(portal.url)
        async with forwarding(
            lambda: asyncio.open_connection(behind.hostname, behind.port), tls=authority.server()
        ) as front:
            settings = settings_of(
                server, portal, url=f"https://127.0.0.1:{front.port}", proxy=proxy.url, tls_ca_file=authority.file
            )
            proxy.refuses = 503
            job_id = await accept(redis, range(1, TOTAL + 1))
            async with working(settings):
                await until(lambda: told(redis, job_id, "the proxy cannot reach the portal; "))
                proxy.refuses = 0
                await ended(redis, job_id)
            found = await check_against_truth(redis, portal, job_id)
    assert len(found[Outcome.DELETED]) == TOTAL
    assert all(line.startswith("CONNECT ") for line in proxy.asked)


async def test_a_proxy_that_does_not_know_us_pauses_the_job_until_it_does(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with simulator.running(World(TOTAL)) as portal, forward_proxy("ann:another") as proxy:
        who = {"proxy": proxy.url, "proxy_username": "ann", "proxy_password": "hush-proxy-2"}
        job_id = await accept(redis, range(1, TOTAL + 1))
        async with working(settings_of(server, portal, **who)):
            job = await in_state(redis, job_id, State.PAUSED)
            assert job.state_reason == "portal_proxy"
            assert "proxy_username and proxy_password_file" in (job.last_error or "")
            proxy.credentials = "ann:hush-proxy-2"
            await control(redis, job_id, Event.RESUME, by="test", lanes=4)
            await ended(redis, job_id)
        await check_against_truth(redis, portal, job_id)
    assert b"hush-proxy-2" not in b"".join([await redis.dump(key) or b"" for key in await redis.keys("*")])
