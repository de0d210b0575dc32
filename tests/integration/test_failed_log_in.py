"""A log-in that fails is no attempt: the batch that it was for never left."""

from typing import Any

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.words.outcomes import Outcome
from simulator import Behaviour, Fault, World
from tests.support.sweeping import MARKS, accept, check_against_truth, ended, settings_of
from worker.main import working

pytestmark = MARKS

FAULTS: list[dict[str, Any]] = [
    {"fault": "error", "status": 500},
    {"fault": "error", "status": 504},
    {"fault": "html"},
    {"fault": "reset"},
    {"fault": "forbidden"},
    {"fault": "deadlock"},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault['fault']}{fault.get('status', '')}")
async def test_contacts_of_a_batch_that_waited_for_it_are_not_in_doubt(
    redis: ArqRedis, server: EmbeddedServer, fault: dict[str, Any]
) -> None:
    rule = Fault(calls=["log_in"], next_calls=1, **fault)
    async with simulator.running(World(10), Behaviour(base_ms=1), faults=[rule]) as portal:
        credentials = {"token": None, "username": portal.behaviour.user_name, "password": portal.behaviour.password}
        settings = settings_of(server, portal, max_concurrency=1, **credentials)
        job_id = await accept(redis, range(1, 21))
        async with working(settings):
            await ended(redis, job_id)
        found = await check_against_truth(redis, portal, job_id)
        assert (len(found[Outcome.DELETED]), len(found[Outcome.NOT_FOUND])) == (10, 10)
