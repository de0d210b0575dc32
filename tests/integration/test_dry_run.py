"""`plan --dry-run` removes what it planned itself, and nothing that others rely on."""

import asyncio
from typing import Any

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from cli import plan
from cli.embedded import EmbeddedServer
from config.settings import Settings
from jobs.accept.submission import Submission, submission_for
from jobs.accept.submit import submit
from jobs.steering.steer import steer_job
from jobs.view.job import Job, read_job, with_sample
from jobs.words.errors import UnknownJob
from jobs.words.filters import Filter
from jobs.words.states import Event, State
from simulator import World
from tests.support.sweeping import MARKS, PORTAL, ended, settings_of
from worker.main import working

pytestmark = MARKS

TRASH = Filter(tags=("trash",))


def wanted(settings: Settings) -> Submission:
    return submission_for(settings.portal(PORTAL), BitMap(), by="anna", selection=TRASH, plan=True, job_id="spring")


async def test_a_plan_that_was_only_for_show_is_forgotten(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with simulator.running(World(100, tagged={"trash": range(1, 51)})) as portal:
        settings = settings_of(server, portal)
        async with working(settings):
            job = await plan._plan(settings, wanted(settings), dry_run=True)
    assert job.plan
    assert not portal.truth.sent
    with pytest.raises(UnknownJob):
        await read_job(redis, "spring")


async def test_a_plan_that_somebody_approves_before_it_is_forgotten_stays(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    async with simulator.running(World(100, tagged={"trash": range(1, 51)})) as portal:
        settings = settings_of(server, portal)

        async def approve_first(redis: ArqRedis, job: Job) -> Job:
            assert job.plan
            await steer_job(redis, settings, job.id, Event.APPROVE, by="ben", digest=job.plan.digest)
            return await with_sample(redis, job)

        monkeypatch.setattr(plan, "with_sample", approve_first)
        async with working(settings):
            await plan._plan(settings, wanted(settings), dry_run=True)
            job = await ended(redis, "spring")
    assert job.state is State.COMPLETED
    assert job.counts["deleted"] == len(portal.truth.deleted) == 50  # type: ignore[index]
    assert "somebody has approved it" in capsys.readouterr().err


async def test_an_interrupted_dry_run_leaves_the_job_of_somebody_else_alone(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulator.running(World(100, tagged={"trash": range(1, 51)})) as portal:
        settings = settings_of(server, portal)
        await submit(redis, wanted(settings))
        watching = asyncio.Event()

        async def watch_for_ever(*_: Any, **__: Any) -> Job:
            watching.set()
            await asyncio.Event().wait()
            raise AssertionError

        monkeypatch.setattr(plan, "follow", watch_for_ever)
        dry_run = asyncio.create_task(plan._plan(settings, wanted(settings), dry_run=True))
        await watching.wait()
        dry_run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dry_run
    assert (await read_job(redis, "spring")).state is State.PLANNING
