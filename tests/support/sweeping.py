"""A worker on a simulated portal, and the comparison of its ledger with what really happened there."""

from collections.abc import Iterable
from typing import Any

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from cli.embedded import EmbeddedServer
from config.settings import Portal, Settings, WorkerConfig
from jobs.accept.submit import submit
from jobs.view.job import Job, read_job
from jobs.words.outcomes import Code, Outcome
from jobs.words.states import State
from tests.conftest import settings_for
from tests.support.lanes import lines_of
from tests.support.submitting import request
from tests.support.waiting import until

PORTAL = "main"

#: For every module that runs a worker in its own process.
MARKS = [
    # arq closes its connection with a method that redis-py has deprecated.
    pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning"),
    # A task that was cancelled in the middle of a command leaves its pipeline to the garbage collector.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <function Redis:pytest.PytestUnraisableExceptionWarning"),
]

#: A worker that notices everything quickly.
EAGER: dict[str, Any] = {"poll_delay_s": 0.01, "lease_ttl_s": 2.0, "slice_s": 5.0, "lifeline_s": 1}


def portal_settings(portal: simulator.Portal, **limits: Any) -> Portal:
    """Return settings for a simulated portal, with no pacing to speak of and short waits."""
    usual: dict[str, Any] = {
        "name": PORTAL,
        "url": portal.url,
        "token": portal.behaviour.token,
        "requests_per_second": 1000.0,
        "burst": 100,
        "max_concurrency": 4,
        "batch_size_start": 50,
        "batch_size_max": 50,
        "backoff_base_s": 0.02,
        "backoff_max_s": 0.2,
        "request_timeout_s": 5.0,
        "retry_share": 1.0,
    }
    return Portal.model_validate(usual | limits)


def settings_of(server: EmbeddedServer, portal: simulator.Portal, **limits: Any) -> Settings:
    return settings_for(server, portal_settings(portal, **limits), worker=WorkerConfig(**EAGER))


async def accept(redis: ArqRedis, ids: Iterable[int], **facts: Any) -> str:
    facts = {"lanes": 4, "portal": PORTAL, **facts}
    return (await submit(redis, request(ids=BitMap(ids), **facts))).job_id


async def ended(redis: ArqRedis, job_id: str, timeout_s: float = 60.0) -> Job:
    """Wait until a job has ended."""

    async def look() -> Job | None:
        job = await read_job(redis, job_id)
        return job if job.ended else None

    return await until(look, timeout_s)


async def in_state(redis: ArqRedis, job_id: str, *states: State, timeout_s: float = 30.0) -> Job:
    """Wait until a job is in one of some states."""

    async def look() -> Job | None:
        job = await read_job(redis, job_id)
        return job if job.state in states else None

    return await until(look, timeout_s)


async def by_outcome(redis: ArqRedis, job_id: str) -> dict[Outcome, BitMap]:
    """Return a job's contact IDs by outcome."""
    found = {outcome: BitMap() for outcome in Outcome}
    for line in await lines_of(redis, job_id):
        found[line.code.outcome].add(line.contact_id)
    return found


async def check_against_truth(
    redis: ArqRedis, portal: simulator.Portal, *job_ids: str, inferred: BitMap | None = None
) -> dict[Outcome, BitMap]:
    """Compare ledgers with the portal's truth, contact by contact.

    Args:
        inferred: contact IDs about which the portal itself said something wrong, so that `not_found` may be wrong too.

    Returns:
        All contact IDs of the jobs by outcome.
    """
    truth, world = portal.truth, portal.world
    found = {outcome: BitMap() for outcome in Outcome}
    for job_id in job_ids:
        job = await read_job(redis, job_id)
        lines = await lines_of(redis, job_id)
        assert len(lines) == job.total == sum(job.counts.values())
        some = await by_outcome(redis, job_id)
        assert {outcome: len(ids) for outcome, ids in some.items()} == job.counts
        for outcome, ids in some.items():
            found[outcome] |= ids
        for line in lines:
            expected = {Code.READ_ONLY: world.read_only, Code.HAS_INVOICE: world.invoiced}.get(line.code)
            assert expected is None or line.contact_id in expected, line
            if line.code.outcome in {Outcome.DELETED, Outcome.PRESUMED_DELETED, Outcome.FAILED}:
                assert line.attempts >= 1, line
            if line.code.outcome is Outcome.SKIPPED:
                assert (line.attempts, line.http_status) == (0, None), line
    never_sent = found[Outcome.SKIPPED] | found[Outcome.PROTECTED]
    deleted = found[Outcome.DELETED]
    assert deleted <= truth.deleted, "reported as deleted without the portal's word"
    assert truth.deleted <= deleted | found[Outcome.PRESUMED_DELETED] | (inferred or BitMap()), "a deletion is missing"
    assert not found[Outcome.NOT_FOUND] & truth.deleted - (inferred or BitMap()), "not_found hides a deletion of ours"
    assert not (found[Outcome.PRESUMED_DELETED] | found[Outcome.NOT_FOUND]) & world.visible(), "still there"
    assert found[Outcome.REFUSED] <= world.visible()
    assert not never_sent & truth.sent, "sent, although the ledger says never"
    assert found[Outcome.PRESUMED_DELETED] <= truth.sent, "presumed deleted by a PUT that never left"
    assert not truth.resent_after_confirmation, "a confirmed deletion was sent again"
    return found
